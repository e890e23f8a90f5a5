import json
import math
import unittest
from pathlib import Path

import torch

from losses import Loss, binary

ROWS = Path(__file__).parents[2] / "imbalance" / "testdata" / "focal_example.json"


class Losses(unittest.TestCase):
    """The figures of docs/imbalance.md."""

    def test_rows(self):
        content = json.loads(ROWS.read_text())
        logits, targets = torch.tensor(content["logits"]), torch.tensor(content["targets"])
        for gamma, alpha, want in [
            (0, None, 0.8233), (2, (0.25, 0.75), 0.2228), (2, (0.25, 0.25), 0.0896), (2, None, 0.3583),
        ]:
            self.assertAlmostEqual(binary(logits, targets, gamma, alpha).mean().item(), want, delta=5e-5)
        classes = targets.argmax(1)
        for loss, want in [
            (Loss("", gamma=2, alpha=0.25), 0.2228 * 96), (Loss(""), 0.8233 * 96), (Loss("", softmax=True), 1.3568 * 32),
        ]:
            self.assertAlmostEqual(loss(logits, classes).item(), want, delta=5e-5 * 96)

    def test_easy_negatives(self):
        negative = torch.tensor([-math.log(99)], dtype=torch.float64)  # p_t = .99
        positive = torch.tensor([-math.log(99)], dtype=torch.float64)  # p_t = .01
        zero, one = torch.zeros(1), torch.ones(1)
        for gamma, alpha, negatives, positives in [
            (0, None, 10050, 46.05), (2, (0.25, 0.75), 0.7538, 11.28), (2, None, 1.005, 45.14),
        ]:
            self.assertAlmostEqual(1e6 * binary(negative, zero, gamma, alpha).item() / negatives, 1, delta=5e-4)
            self.assertAlmostEqual(10 * binary(positive, one, gamma, alpha).item() / positives, 1, delta=5e-4)

    def test_gradient(self):
        # s alpha_t (1 - p_t)^gamma (gamma p_t log p_t + p_t - 1)
        for target, sign, alpha in (1, 1, 0.25), (0, -1, 0.75):
            x = torch.linspace(-8, 8, 33, dtype=torch.float64, requires_grad=True)
            binary(x, torch.full_like(x, target), 2, (0.25, 0.75)).sum().backward()
            p = torch.sigmoid(sign * x.detach())
            torch.testing.assert_close(x.grad, sign * alpha * (1 - p) ** 2 * (2 * p * p.log() + p - 1))

    def test_far_out(self):
        for target in 0.0, 1.0:
            x = torch.tensor([-1e4, 1e4], requires_grad=True)
            loss = binary(x, torch.full_like(x, target), 2, (0.25, 0.75)).sum()
            loss.backward()
            self.assertTrue(torch.isfinite(loss) and torch.isfinite(x.grad).all())

    def test_background(self):
        # Under softmax it is the last class; else every logit should be low.
        logits = torch.tensor([[-3.0, -4.0, 5.0]])
        background, second = torch.tensor([2]), torch.tensor([1])
        self.assertLess(Loss("", softmax=True)(logits, background), 0.01)
        self.assertGreater(Loss("", softmax=True)(logits, second), 8)
        self.assertAlmostEqual(Loss("")(logits[:, :2], background).item(), math.log1p(math.exp(-3)) + math.log1p(math.exp(-4)), 5)
        for loss in Loss("", softmax=True), Loss(""):
            self.assertEqual(loss.scores(torch.zeros(5, loss.outputs(3))).shape, (5, 3))


if __name__ == "__main__":
    unittest.main()
