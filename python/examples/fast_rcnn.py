"""Train torchvision's detector on proposals of selective search: Fast R-CNN.

    python fast_rcnn.py --steps 300

The images are drawn: rectangles and ellipses in front of a background. The proposals take the place of the
region proposal network. They are computed in the workers of the data loader, cached on disk, and flipped and
resized with their images. At the end, the detector's recall at an IoU of 0.5 on other images is printed.
"""

from __future__ import annotations

import argparse
import tempfile

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.transform import GeneralizedRCNNTransform, resize_boxes
from torchvision.ops import MultiScaleRoIAlign, box_iou
from torchvision.transforms.functional import hflip, to_tensor

from proposer.torch import ProposalDataset, collate

WIDTH, HEIGHT = 160, 120


class Shapes(torch.utils.data.Dataset):
    """A data set of drawn images: PIL images with boxes, and the labels 1 (rectangle) and 2 (ellipse)."""

    def __init__(self, seeds: range) -> None:
        self.seeds = seeds

    def __len__(self) -> int:
        return len(self.seeds)

    def __getitem__(self, index: int):
        rng = np.random.default_rng(self.seeds[index])
        noise = rng.integers(-6, 7, (HEIGHT, WIDTH, 3))
        image = Image.fromarray((rng.integers(40, 216, 3) + noise).astype(np.uint8))
        draw = ImageDraw.Draw(image)
        boxes, labels = [], []
        for x in (8, 88):  # one shape in each half
            width, height = rng.integers(24, 64, 2).tolist()
            x0, y0 = x + int(rng.integers(0, 64 - width + 1)), int(rng.integers(4, HEIGHT - height - 4))
            label = int(rng.integers(1, 3))
            shape = draw.rectangle if label == 1 else draw.ellipse
            shape((x0, y0, x0 + width - 1, y0 + height - 1), fill=tuple(rng.integers(0, 256, 3).tolist()))
            boxes.append((x0, y0, x0 + width, y0 + height))
            labels.append(label)
        return image, {"boxes": torch.tensor(boxes, dtype=torch.float32), "labels": torch.tensor(labels)}


def augment(image, target):
    """Flip half of the images, with the boxes of the ground truth and the proposals."""
    if torch.rand(1) < 0.5:
        image = hflip(image)
        for key in ("boxes", "proposals"):
            x0, y0, x1, y1 = target[key].unbind(1)
            target[key] = torch.stack([image.width - x1, y0, image.width - x0, y1], dim=1)
    return to_tensor(image), target


def convert(image, target):
    return to_tensor(image), target


class ResizeWithProposals(GeneralizedRCNNTransform):
    """The detector's own transform, which also resizes the proposals."""

    def resize(self, image, target=None):
        resized, target = super().resize(image, target)
        if target is not None:
            target["proposals"] = resize_boxes(target["proposals"], image.shape[-2:], resized.shape[-2:])
        return resized, target


class Proposals(nn.Module):
    """The proposals of the targets, in place of a region proposal network."""

    def forward(self, images, features, targets=None):
        return [target["proposals"] for target in targets], {}


def detector() -> FasterRCNN:
    """Return a small detector. Use a pretrained backbone for photographs."""
    layers: list[nn.Module] = []
    for inputs, outputs in [(3, 32), (32, 64), (64, 128)]:
        layers += [nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
    backbone = nn.Sequential(*layers)
    backbone.out_channels = 128
    model = FasterRCNN(
        backbone,
        num_classes=3,
        rpn_anchor_generator=AnchorGenerator(((32,),), ((1.0,),)),  # of the network that is replaced
        box_roi_pool=MultiScaleRoIAlign(["0"], output_size=5, sampling_ratio=2),
        box_batch_size_per_image=32,
    )
    model.rpn = Proposals()
    model.transform = ResizeWithProposals(150, 200, [0.5] * 3, [0.25] * 3)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=300, help="number of training steps")
    parser.add_argument("--workers", type=int, default=2, help="number of processes that load images")
    parser.add_argument("--cache", help="folder for the proposals; a temporary one if not given")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    model = detector()
    optimizer = torch.optim.AdamW(model.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1e-3, total_steps=arguments.steps)
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.cache or temporary
        train = ProposalDataset(Shapes(range(200)), folder, augment, max_boxes=200, min_side=8)
        test = ProposalDataset(Shapes(range(1000, 1020)), folder, convert, max_boxes=200, min_side=8)
        loader = torch.utils.data.DataLoader(
            train, 4, shuffle=True, drop_last=True, num_workers=arguments.workers, collate_fn=collate
        )
        model.train()
        step = 0
        while step < arguments.steps:
            for images, targets in loader:
                loss = sum(model(images, targets).values())
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                step += 1
                if step % 50 == 0 or step == arguments.steps:
                    print(f"step {step}: loss {loss.item():.3f}")
                if step == arguments.steps:
                    break
        model.eval()
        found = total = 0
        with torch.no_grad():
            for image, target in test:
                (detections,) = model([image], [target])
                right = detections["labels"] == target["labels"][:, None]
                overlaps = box_iou(target["boxes"], detections["boxes"]) * right
                found += int(((overlaps * (detections["scores"] > 0.5)) > 0.5).any(dim=1).sum())
                total += len(target["boxes"])
    print(f"{found} of {total} shapes found")


if __name__ == "__main__":
    main()
