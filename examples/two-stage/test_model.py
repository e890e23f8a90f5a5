import math
import unittest

import torch

from data import RoIs
from losses import Loss
from model import FastRCNN, decode, detect, encode
from train import train


class Deltas(unittest.TestCase):
    def test_as_rois(self):
        # The example of package rois.
        box, truth = torch.tensor([[10.0, 10, 30, 20]]), torch.tensor([[10.0, 10, 30, 30]])
        deltas = encode(box, truth)
        torch.testing.assert_close(deltas, torch.tensor([[0, 5, 0, 5 * math.log(2)]]))
        torch.testing.assert_close(decode(box, deltas), truth)

    def test_there_and_back(self):
        torch.manual_seed(1)
        corner, size = torch.rand(2, 500, 2) * 300, torch.rand(2, 500, 2) * 200 + 5
        boxes, truth = torch.cat([corner, corner + size], 2)
        torch.testing.assert_close(decode(boxes, encode(boxes, truth)), truth, rtol=1e-4, atol=1e-2)

    def test_large(self):
        # dw and dh have a bound: an early guess must not overflow.
        got = decode(torch.tensor([[0.0, 0, 16, 16]]), torch.tensor([[0, 0, 1e9, 1e9]]))
        torch.testing.assert_close(got, torch.tensor([[-492.0, -492, 508, 508]]))


def squares(n: int) -> tuple[list[torch.Tensor], list[RoIs]]:
    """Noise with a red or a blue square, and RoIs: the square itself, near ones, and others."""
    images, rois = [], []
    for i in range(n):
        image = torch.randint(90, 160, (3, 64, 64), dtype=torch.uint8)
        x, y = torch.randint(0, 40, (2,)).tolist()
        c = i % 2
        image[2 * c, y:y + 24, x:x + 24] = 255
        truth = torch.tensor([[x, y, x + 24, y + 24]], dtype=torch.float32)
        near = truth + torch.tensor([[0.0, 0, 0, 0], [3, 0, 3, 0], [0, -3, 0, -3], [-2, 2, 2, 2]])
        other = torch.tensor([[0.0, 0, 20, 20], [44, 44, 64, 64], [44, 0, 64, 20], [0, 44, 20, 64]])
        common = (torch.minimum(other[:, 2:], truth[:, 2:]) - torch.maximum(other[:, :2], truth[:, :2])).clamp(min=0).prod(1)
        other = other[common == 0]
        boxes = torch.cat([near, other])
        classes = torch.tensor([c] * len(near) + [2] * len(other))
        deltas = torch.cat([encode(near, truth.expand(len(near), 4)), torch.zeros_like(other)])
        images.append(image)
        rois.append(RoIs(f"{i}.png", boxes, classes, deltas))
    return images, rois


class Training(unittest.TestCase):
    def test_learns(self):
        torch.set_num_threads(1)
        for loss in Loss("softmax CE", softmax=True), Loss("focal", gamma=2, alpha=0.25):
            with self.subTest(loss.name):
                torch.manual_seed(1)
                images, rois = squares(32)
                model = train(images[:24], rois[:24], 2, loss, 15, 1, lambda line: None)
                for image, r in zip(images[24:], rois[24:]):
                    boxes, scores, classes = detect(model, loss.scores, image, r.boxes)
                    self.assertEqual(classes[0], r.classes[0])
                    self.assertGreater(scores[0], 0.5)
                    self.assertLess((boxes[0] - r.boxes[0]).abs().max(), 4)
                    self.assertTrue((scores[:-1] >= scores[1:]).all())

    def test_same_again(self):
        images, rois = squares(9)
        weights = [train(images, rois, 2, Loss("focal", gamma=2, alpha=0.25), 2, 5, lambda line: None).state_dict() for _ in range(2)]
        for name, value in weights[0].items():
            self.assertTrue(torch.equal(value, weights[1][name]), name)

    def test_prior(self):
        torch.manual_seed(1)
        image, box = torch.zeros(1, 3, 32, 32, dtype=torch.uint8), torch.tensor([[0.0, 0, 16, 16]])
        logits, deltas = FastRCNN(3, sigmoid=True)(image, [box])
        self.assertLess((logits.sigmoid() - 0.01).abs().max(), 0.005)
        self.assertEqual((logits.shape, deltas.shape), ((1, 3), (1, 4)))

    def test_nothing_to_detect_in(self):
        model = FastRCNN(3, sigmoid=False)
        boxes, scores, classes = detect(model, Loss("", softmax=True).scores, torch.zeros(3, 32, 32, dtype=torch.uint8), torch.zeros(0, 4))
        self.assertEqual((len(boxes), len(scores), len(classes)), (0, 0, 0))


if __name__ == "__main__":
    unittest.main()
