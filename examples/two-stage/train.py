"""Training on the RoIs that proposer has labeled and sampled."""

from typing import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from data import RoIs
from losses import Loss
from model import FastRCNN

BATCH = 8  # images per step


def flip(image: Tensor, rois: RoIs) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the mirrored image, its RoIs and their deltas."""
    width = image.shape[2]
    boxes = rois.boxes.clone()
    boxes[:, 0::2] = width - rois.boxes[:, [2, 0]]
    return image.flip(2), boxes, rois.deltas * torch.tensor([-1.0, 1.0, 1.0, 1.0])


def stack(images: list[Tensor]) -> Tensor:
    """Images of one size or of several; the smaller ones are padded with gray at the right and bottom."""
    height, width = (max(p.shape[side] for p in images) for side in (1, 2))
    return torch.stack([F.pad(p, (0, width - p.shape[2], 0, height - p.shape[1]), value=127) for p in images])


def train(images: list[Tensor], rois: list[RoIs], classes: int, loss: Loss, epochs: int, seed: int,
          report: Callable[[str], None]) -> FastRCNN:
    """Trains a network from scratch. Both losses are sums divided by the number of foreground RoIs of
    the step, as in Lin et al.; their ratio is that of Fast R-CNN, where both are means over all RoIs."""
    torch.manual_seed(seed)
    model = FastRCNN(loss.outputs(classes), not loss.softmax)
    steps = epochs * -(-len(rois) // BATCH)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=2e-3, total_steps=steps, pct_start=0.15)
    for epoch in range(epochs):
        model.train()
        sums = torch.zeros(2)
        order = torch.randperm(len(rois)).tolist()
        for start in range(0, len(order), BATCH):
            batch = []
            for i in order[start:start + BATCH]:
                batch.append(flip(images[i], rois[i]) if torch.rand(()) < 0.5 else (images[i], rois[i].boxes, rois[i].deltas))
            labels = torch.cat([rois[i].classes for i in order[start:start + BATCH]])
            deltas = torch.cat([d for _, _, d in batch])
            objects = labels < classes
            positives = max(1, int(objects.sum()))
            logits, found = model(stack([p for p, _, _ in batch]), [b for _, b, _ in batch])
            class_loss = loss(logits, labels) / positives
            box_loss = F.smooth_l1_loss(found[objects], deltas[objects], reduction="sum") / positives
            optimizer.zero_grad()
            (class_loss + box_loss).backward()
            optimizer.step()
            schedule.step()
            sums += torch.stack([class_loss.detach(), box_loss.detach()])
        mean = sums / -(-len(order) // BATCH)
        report(f"epoch {epoch + 1} of {epochs}: class loss {mean[0]:.3f}, box loss {mean[1]:.3f}")
    return model
