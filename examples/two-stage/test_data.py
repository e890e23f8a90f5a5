import json
import pickle
import tempfile
import unittest
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from data import read_instances, read_image, read_proposals, read_rois
from model import encode
from train import flip


def archive(weights=1.0):
    """Two images, the first without RoIs, as `proposer rois` writes them."""
    rois = np.array([[10, 10, 30, 20], [60, 20, 90, 50]], np.int32)
    truth = np.array([[40, 40, 50, 50], [10, 10, 30, 30]], np.int32)
    deltas = np.zeros((2, 4), np.float32)
    deltas[0] = encode(torch.tensor(rois[:1]).float(), torch.tensor(truth[1:]).float())[0].numpy() / weights
    return {
        "files": np.array(["broken.jpg", "b.jpg"]), "ids": np.array(["1", "2"]), "errors": np.array(["cut off", ""]),
        "sizes": np.array([[0, 0], [100, 80]], np.int32), "offsets": np.array([0, 0, 2]), "rois": rois,
        "labels": np.array([1, 0]), "classes": np.array([1, 2]), "truth": np.array([1, -1]),
        "ious": np.array([0.5, 0], np.float32), "deltas": deltas, "class_names": np.array(["apple", "vase"]),
        "truth_offsets": np.array([0, 0, 2]), "truth_boxes": truth,
        "truth_classes": np.array([0, 1]), "truth_crowd": np.zeros(2, bool),
    }


class Readers(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def test_rois(self):
        with self.assertRaisesRegex(FileNotFoundError, "want the folder"):
            read_rois(self.folder)
        np.savez(self.folder / "rois-000000.npz", **archive())
        np.savez(self.folder / "rois-000001.npz", **archive())
        images, names = read_rois(self.folder)
        self.assertEqual(names, ["apple", "vase"])
        self.assertEqual([p.file for p in images], ["b.jpg", "b.jpg"])
        self.assertEqual(images[0].boxes.tolist(), [[10, 10, 30, 20], [60, 20, 90, 50]])
        self.assertEqual(images[0].classes.tolist(), [1, 2])
        self.assertEqual(images[0].deltas[1].tolist(), [0, 0, 0, 0])

    def test_other_weights(self):
        np.savez(self.folder / "rois-000000.npz", **archive(weights=10))
        with self.assertRaisesRegex(ValueError, "want `proposer rois --delta-weights 10,10,5,5`"):
            read_rois(self.folder)

    def test_proposals(self):
        content = {
            "ids": [7, "a"], "boxes": [np.array([[1, 2, 3, 4]], np.float32), np.zeros((0, 4), np.float32)],
            "objectness_logits": [np.ones(1, np.float32), np.zeros(0, np.float32)], "bbox_mode": 0,
        }
        file = self.folder / "proposals.pkl"
        file.write_bytes(pickle.dumps(content))
        got = read_proposals(file)
        self.assertEqual(got[7].tolist(), [[1, 2, 3, 4]])
        self.assertEqual(got["a"].shape, (0, 4))
        file.write_bytes(pickle.dumps(content | {"bbox_mode": 1}))
        with self.assertRaisesRegex(ValueError, "want 0, XYXY_ABS"):
            read_proposals(file)

    def test_instances(self):
        box = {"image_id": 5, "bbox": [10, 20, 30, 40]}
        (self.folder / "instances.json").write_text(json.dumps({
            "images": [{"id": 5, "file_name": "a.jpg"}, {"id": 4, "file_name": "b.jpg"}],
            "categories": [{"id": 1, "name": "vase"}, {"id": 9, "name": "unicorn"}],
            "annotations": [
                box | {"category_id": 1, "iscrowd": 1}, box | {"category_id": 9}, box | {"category_id": 1},
                # Annotations that proposer also leaves out.
                box | {"category_id": 1, "image_id": 6}, box | {"category_id": 2}, {"image_id": 5, "category_id": 1},
                box | {"category_id": 1, "bbox": [1, 2, -3, 4]}, box | {"category_id": 1, "bbox": [1, float("nan"), 3, 4]},
            ],
        }))
        (self.folder / "images").mkdir()
        Image.new("RGB", (3, 2)).save(self.folder / "images" / "b.jpg")
        first, second = read_instances(self.folder, ["apple", "vase"])
        self.assertEqual((first.id, first.file, second.id), (5, self.folder / "images" / "a.jpg", 4))
        self.assertEqual(first.boxes.tolist(), [[10, 20, 40, 60]] * 2)
        self.assertEqual((first.classes.tolist(), first.crowd.tolist()), ([1, 1], [True, False]))
        self.assertEqual(second.boxes.shape, (0, 4))

    def test_stored_orientation(self):
        """Boxes in pixels of the stored image are turned with it."""
        for orientation, want in {1: [1, 2, 4, 4], 5: [2, 1, 4, 4], 6: [16, 1, 18, 4], 7: [16, 26, 18, 29], 8: [2, 26, 4, 29]}.items():
            exif = Image.Exif()
            exif[0x0112] = orientation
            Image.new("RGB", (30, 20)).save(self.folder / "a.png", exif=exif)
            (self.folder / "instances.json").write_text(json.dumps({
                "images": [{"id": 5, "file_name": "a.png", "width": 30, "height": 20}],
                "categories": [{"id": 1, "name": "vase"}],
                "annotations": [{"image_id": 5, "category_id": 1, "bbox": [1, 2, 3, 2]}],
            }))
            (image,) = read_instances(self.folder, ["vase"])
            self.assertEqual(image.boxes.tolist(), [want], orientation)

    def test_image(self):
        image = Image.new("RGB", (3, 2), (10, 20, 30))
        exif = Image.Exif()
        exif[0x0112] = 6  # to be turned by a quarter
        image.save(self.folder / "a.png", exif=exif)
        got = read_image(self.folder / "a.png")
        self.assertEqual((got.dtype, got.shape), (torch.uint8, (3, 3, 2)))
        self.assertEqual(got[:, 0, 0].tolist(), [10, 20, 30])

    def test_flip(self):
        np.savez(self.folder / "rois-000000.npz", **archive())
        (rois,), _ = read_rois(self.folder)
        image = torch.zeros(3, 80, 100, dtype=torch.uint8)
        image[:, 10, 10] = 1
        flipped, boxes, deltas = flip(image, rois)
        self.assertEqual(flipped[0, 10, 89], 1)
        self.assertEqual(boxes.tolist(), [[70, 10, 90, 20], [10, 20, 40, 50]])
        torch.testing.assert_close(deltas[:1], encode(boxes[:1], torch.tensor([[70.0, 10, 90, 30]])))


if __name__ == "__main__":
    unittest.main()
