"""The losses of docs/imbalance.md, in PyTorch."""

from dataclasses import dataclass
from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor


def binary(logits: Tensor, targets: Tensor, gamma: float = 0.0, alpha: Optional[tuple[float, float]] = None) -> Tensor:
    """-alpha_t (1 - p_t)^gamma log p_t of each logit, for targets 0 and 1; alpha holds the weights of
    targets 1 and 0. Computed from the logit, since p_t itself would round to 0 or 1."""
    signed = torch.where(targets > 0, logits, -logits)
    value = -F.logsigmoid(signed)
    if gamma:
        value = value * torch.exp(gamma * F.logsigmoid(-signed))
    if alpha:
        value = value * torch.where(targets > 0, alpha[0], alpha[1])
    return value


@dataclass(frozen=True)
class Loss:
    """A classification loss for RoIs. With softmax, background is an additional class, the last. Without,
    each class has an independent logit, and background is where all logits are low."""

    name: str
    softmax: bool = False
    gamma: float = 0.0
    alpha: Optional[float] = None  # of a RoI's own class; 1 - alpha of the others

    def outputs(self, classes: int) -> int:
        return classes + 1 if self.softmax else classes

    def __call__(self, logits: Tensor, classes: Tensor) -> Tensor:
        """Returns the sum over RoIs; the class of background is the number of classes."""
        if self.softmax:
            return F.cross_entropy(logits, classes, reduction="sum")
        targets = torch.zeros_like(logits)
        objects = classes < logits.shape[1]
        targets[objects, classes[objects]] = 1
        alpha = None if self.alpha is None else (self.alpha, 1 - self.alpha)
        return binary(logits, targets, self.gamma, alpha).sum()

    def scores(self, logits: Tensor) -> Tensor:
        """Returns the probability of each class for each RoI."""
        return logits.softmax(1)[:, :-1] if self.softmax else logits.sigmoid()
