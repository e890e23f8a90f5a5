"""Training on RoIs that proposer has labelled, and drawn."""

from typing import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from data import RoIs
from losses import Loss
from model import FastRCNN

BATCH = 8  # pictures a step


def flip(picture: Tensor, rois: RoIs) -> tuple[Tensor, Tensor, Tensor]:
    """The mirror image, its RoIs and their deltas."""
    width = picture.shape[2]
    boxes = rois.boxes.clone()
    boxes[:, 0::2] = width - rois.boxes[:, [2, 0]]
    return picture.flip(2), boxes, rois.deltas * torch.tensor([-1.0, 1.0, 1.0, 1.0])


def stack(pictures: list[Tensor]) -> Tensor:
    """Pictures of one size or of several; the smaller are laid at the top left, on grey."""
    height, width = (max(p.shape[side] for p in pictures) for side in (1, 2))
    return torch.stack([F.pad(p, (0, width - p.shape[2], 0, height - p.shape[1]), value=127) for p in pictures])


def train(pictures: list[Tensor], rois: list[RoIs], classes: int, loss: Loss, epochs: int, seed: int,
          tell: Callable[[str], None]) -> FastRCNN:
    """Trains a network from nothing. Both losses are sums, divided by the step's foreground RoIs:
    so is Lin et al.'s, and so the two weigh as in Fast R-CNN, where both are means over all RoIs."""
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
                batch.append(flip(pictures[i], rois[i]) if torch.rand(()) < 0.5 else (pictures[i], rois[i].boxes, rois[i].deltas))
            labels = torch.cat([rois[i].classes for i in order[start:start + BATCH]])
            deltas = torch.cat([d for _, _, d in batch])
            objects = labels >= 0
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
        tell(f"epoch {epoch + 1} of {epochs}: class loss {mean[0]:.3f}, box loss {mean[1]:.3f}")
    return model
