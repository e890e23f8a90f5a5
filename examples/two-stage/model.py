"""A small Fast R-CNN: features of the whole image, then a head for each RoI."""

import math

import torch
from torch import Tensor, nn
from torchvision.ops import batched_nms, roi_align

STRIDE = 8  # image pixels per feature cell
CELLS = 4  # cells per side of a RoI
WEIGHTS = torch.tensor([10.0, 10.0, 5.0, 5.0])  # of the deltas, as in Detectron2
MAX_SCALE = math.log(1000 / 16)   # upper bound of dw and dh, as in Detectron2
PRIOR = 0.01  # initial probability of an object (Lin et al., §4.1)


def encode(boxes: Tensor, truth: Tensor) -> Tensor:
    """Returns the deltas from boxes to ground-truth boxes."""
    size, true_size = boxes[:, 2:] - boxes[:, :2], truth[:, 2:] - truth[:, :2]
    shift = ((truth[:, :2] + truth[:, 2:]) - (boxes[:, :2] + boxes[:, 2:])) / 2 / size
    return torch.cat([shift, torch.log(true_size / size)], 1) * WEIGHTS


def decode(boxes: Tensor, deltas: Tensor) -> Tensor:
    """Returns the boxes that the deltas lead to."""
    deltas = deltas / WEIGHTS
    size = boxes[:, 2:] - boxes[:, :2]
    center = (boxes[:, :2] + boxes[:, 2:]) / 2 + deltas[:, :2] * size
    half = size / 2 * deltas[:, 2:].clamp(max=MAX_SCALE).exp()
    return torch.cat([center - half, center + half], 1)


def block(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True),
    )


class FastRCNN(nn.Module):
    def __init__(self, outputs: int, sigmoid: bool):
        """outputs is the number of logits per RoI. With sigmoid the bias starts at the prior, otherwise
        background would dominate the first steps."""
        super().__init__()
        self.backbone = nn.Sequential(
            block(3, 24, 2), block(24, 48, 2), block(48, 64, 2), block(64, 64, 1), block(64, 64, 1),
        )
        self.hidden = nn.Sequential(nn.Flatten(), nn.Linear(64 * CELLS * CELLS, 128), nn.ReLU(inplace=True))
        self.classes = nn.Linear(128, outputs)
        self.deltas = nn.Linear(128, 4)  # shared by all classes
        nn.init.normal_(self.classes.weight, std=0.01)
        nn.init.constant_(self.classes.bias, -math.log((1 - PRIOR) / PRIOR) if sigmoid else 0)
        nn.init.normal_(self.deltas.weight, std=0.001)
        nn.init.zeros_(self.deltas.bias)

    def forward(self, images: Tensor, rois: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Returns logits and deltas of the RoIs, image by image; images are (n, 3, height, width) of
        uint8."""
        features = self.backbone(images.float() / 127.5 - 1)
        hidden = self.hidden(roi_align(features, rois, CELLS, 1 / STRIDE, sampling_ratio=1, aligned=True))
        return self.classes(hidden), self.deltas(hidden)


@torch.no_grad()
def detect(model: FastRCNN, scores_of, image: Tensor, proposals: Tensor,
           min_score: float = 0.01, nms: float = 0.5, max_detections: int = 100) -> tuple[Tensor, Tensor, Tensor]:
    """Returns boxes, scores and classes, best first. It takes one image, so that the result does not
    depend on the rest of a batch."""
    model.eval()
    logits, deltas = model(image[None], [proposals])
    height, width = image.shape[1:]
    boxes = decode(proposals, deltas)
    boxes[:, 0::2].clamp_(0, width)
    boxes[:, 1::2].clamp_(0, height)
    roi, classes = torch.nonzero(scores_of(logits) >= min_score, as_tuple=True)
    scores = scores_of(logits)[roi, classes]
    kept = batched_nms(boxes[roi], scores, classes, nms)[:max_detections]
    return boxes[roi[kept]], scores[kept], classes[kept]
