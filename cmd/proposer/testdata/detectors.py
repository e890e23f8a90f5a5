"""Loads what proposer batch wrote with the steps of its consumers, and prints what each found as JSON.

detectors.py FORMAT FOLDER IMAGES

FOLDER has the files that proposer batch wrote. IMAGES is a JSON list of the images in the order of the data
set: {"path", "file", "id", "width", "height"}, "path" with the image's folder, "file" as in the annotations.
The result is an object by consumer of lists of {"boxes", "scores"}, one per image: the boxes as the consumer
has them, x0 y0 x1 y1; the scores are null where it does not read them.
"""

import csv
import glob
import json
import os
import pickle
import sys

import numpy as np
import scipy.io
import torch
from PIL import Image
from torchvision.transforms import functional

sys.path.append(os.path.join(os.path.dirname(__file__), "..", "..", "..", "internal", "codec", "testdata"))
import consumers  # noqa: E402


def found(boxes, scores=None):
    return {"boxes": np.asarray(boxes).reshape(-1, 4).tolist(), "scores": None if scores is None else np.asarray(scores).tolist()}


def unique(boxes):
    """The indices of the distinct boxes, as all descendants of Fast R-CNN find them."""
    hashes = np.round(boxes).dot(np.array([1, 1e3, 1e6, 1e9]))
    return np.sort(np.unique(hashes, return_index=True)[1])


# detectron


def json_dataset(proposals, images):
    """JsonDataset._add_proposals_from_file of Detectron, and of PCL, which expects exactly the images of the data set."""
    roidb = sorted(images, key=lambda image: image["id"])
    field = "indexes" if "indexes" in proposals else "ids"
    order = np.argsort(proposals[field])
    for key in ("boxes", field, "scores"):
        proposals[key] = [proposals[key][i] for i in order]
    loaded = {}
    for i, entry in enumerate(roidb):
        assert entry["id"] == proposals[field][i]
        boxes, scores = proposals["boxes"][i], proposals["scores"][i]
        boxes[:, [0, 2]] = np.minimum(entry["width"] - 1.0, np.maximum(0.0, boxes[:, [0, 2]]))
        boxes[:, [1, 3]] = np.minimum(entry["height"] - 1.0, np.maximum(0.0, boxes[:, [1, 3]]))
        assert len(unique(boxes)) == len(boxes)
        sides = boxes[:, 2:] - boxes[:, :2] + 1
        keep = np.where((sides > 2).all(axis=1))[0]
        merged = np.append(np.empty((0, 4), dtype=np.float32), boxes[keep].astype(np.float32, copy=False), axis=0)
        flipped = entry["width"] - merged[:, [2, 0]] - 1
        assert (flipped[:, 1] >= flipped[:, 0]).all()
        loaded[entry["id"]] = found(merged, scores[keep])
    return [loaded[image["id"]] for image in images]


def wetectron(proposals, images, number, least):
    """PascalVOCDataset and COCODataset of wetectron (a least side of 2), and of OD-WSCL and WeakSAM (20)."""
    loaded = []
    for image in images:
        at = proposals["indexes"].index(number(image["id"]))
        rois = proposals["boxes"][at]
        keep = unique(rois)
        rois = torch.tensor(rois[keep].astype(np.float64) if least > 2 else rois[keep], dtype=torch.float32)
        assert rois.dim() == 2 and rois.size(-1) == 4
        rois[:, 0::2].clamp_(min=0, max=max(image["width"] - 1, 0))
        rois[:, 1::2].clamp_(min=0, max=max(image["height"] - 1, 0))
        filled = (rois[:, 3] > rois[:, 1]) & (rois[:, 2] > rois[:, 0])
        assert filled.all()
        sides = rois[:, 2:] - rois[:, :2] + 1
        large = ((sides >= least).all(dim=1)).nonzero().squeeze(1)
        if least > 2:
            assert (rois[large] == torch.from_numpy(proposals["boxes"][at])[large.numpy()]).all()
            large = slice(None)
        loaded.append(found(rois[large], proposals["scores"][at]))
    return loaded


def detectron(folder, images):
    file = os.path.join(folder, "proposals.pkl")
    with open(file, "rb") as f:
        assert f.read(2) == b"\x80\x02"

    def load(**how):
        return consumers.load(file, **how)

    assert consumers.same(load(), load(encoding="latin1"))
    assert load()["indexes"] == sorted(load()["indexes"])
    if all(isinstance(image["id"], int) for image in images):
        others = [dict(image, id=image["id"] + 1000000) for image in images[:3]]
        full, fewer = load(encoding="latin1"), images[5:]
        keep = [i for i, id in enumerate(full["indexes"]) if id in {image["id"] for image in fewer}]
        for key in ("boxes", "indexes", "scores"):
            full[key] = [full[key][i] for i in keep]
        assert others and json_dataset(full, fewer) == json_dataset(load(), images)[5:]
        return {
            "Detectron, PCL": json_dataset(load(), images),
            "wetectron": wetectron(load(encoding="latin1"), images, lambda id: id, 2),
            "OD-WSCL, WeakSAM": wetectron(load(encoding="latin1"), images, lambda id: id, 20),
        }
    return {"wetectron": wetectron(load(encoding="latin1"), images, int, 2)}


def detectron_no_year(folder, images):
    proposals = consumers.load(os.path.join(folder, "proposals.pkl"), encoding="latin1")
    return {"wetectron": wetectron(proposals, images, lambda id: int(id.split("_")[1]), 2)}


# MAT-files


def mat(folder, images):
    file = os.path.join(folder, "proposals.mat")
    loaded = scipy.io.loadmat(file)
    names = [os.path.splitext(os.path.basename(image["path"]))[0] for image in images]
    # VOCandMCG and VOCandSSW of wsddn.pytorch.
    assert [str(name[0]) for name in loaded["images"][0]] == names
    wsddn = []
    for boxes, scores in zip(loaded["boxes"][0], loaded["boxScores"][0]):
        boxes = boxes.astype(np.float32)
        boxes = np.stack((boxes[:, 1], boxes[:, 0], boxes[:, 3], boxes[:, 2]), axis=1)
        mask = ((boxes[:, 2:] - boxes[:, :2]) >= 20).all(axis=1)
        assert scores.shape == (len(boxes), 1) and scores[mask].shape == (mask.sum(), 1)
        assert (torch.ones(1, len(boxes), 7) * torch.from_numpy(np.expand_dims(scores, 0))[0]).dtype == torch.float32
        wsddn.append(found(boxes, scores[:, 0]))
    # VOCLoader of WSDDN.pytorch with the method "eb".
    by_id = {}
    for i in range(len(loaded["images"][0])):
        boxes = loaded["boxes"][0][i].astype(float) - 1
        is_good = np.nonzero((boxes[:, 2] >= boxes[:, 0]) * (boxes[:, 3] >= boxes[:, 1]))[0]
        boxes, scores = boxes[is_good], loaded["boxScores"][0][i][:, 0][is_good]
        by_id[loaded["images"][0][i][0]] = found(boxes[:, [1, 0, 3, 2]], scores)
    return {
        "Fast R-CNN, OICR": [found(boxes) for boxes, _ in consumers.fast_rcnn(file, images)],
        "wsddn.pytorch": wsddn,
        "WSDDN.pytorch": [by_id[name] for name in names],
    }


# Self-supervised training


def soco(folder, images):
    """make_props_dataset_with_ann of SoCo."""
    with open(os.path.join(folder, "proposals.json")) as f:
        props = json.load(f)
    loaded = []
    for image in images:
        boxes = np.array(props[os.path.basename(image["path"]).split(".")[0]])
        if boxes.shape[0] > 0:
            boxes = boxes[:, :4]
            boxes[:, 2:] += boxes[:, :2] - 1
        loaded.append(found(boxes))
    return {"SoCo": loaded}


def orl(folder, images):
    """COCOCorrespondenceJson and the box_filter of ORL."""
    with open(os.path.join(folder, "proposals.json")) as f:
        bboxes = json.load(f)["bbox"]
    assert len(bboxes) == len(images)
    loaded = []
    for boxes, image in zip(bboxes, images):
        try:
            img = Image.open(image["path"]).convert("RGB")
        except OSError:
            assert boxes == []
            loaded.append(found([]))
            continue
        filtered = [b for b in boxes if min(b[2], b[3]) >= 96 and max(b[2] / b[3], b[3] / b[2]) <= 3] or [boxes[0]]
        for x, y, w, h in filtered:
            assert x + w <= img.width and y + h <= img.height
            functional.resized_crop(img, y, x, h, w, (8, 8))
        boxes = np.array(boxes)
        boxes[:, 2:] += boxes[:, :2]
        loaded.append(found(boxes))
    return {"ORL": loaded}


def coco_annotations(folder, images):
    """CocoDataset of MMDetection 2.25 with classes ["selective_search"], as AlignDet configures it."""
    with open(os.path.join(folder, "proposals.json")) as f:
        dataset = json.load(f)
    assert len({a["id"] for a in dataset["annotations"]}) == len(dataset["annotations"])
    of_image = {}
    for a in dataset["annotations"]:
        of_image.setdefault(a["image_id"], []).append(a)
    cat_ids = [c["id"] for c in dataset["categories"] if c["name"] in ["selective_search"]]
    labels = {id: i for i, id in enumerate(cat_ids)}
    by_file = {}
    for info in dataset["images"]:
        usable = info["id"] in of_image and min(info["width"], info["height"]) >= 32
        boxes, scores = [], []
        for a in of_image.get(info["id"], []):
            assert not a.get("ignore", False) and not a.get("iscrowd", False)
            x, y, w, h = a["bbox"]
            assert max(0, min(x + w, info["width"]) - max(x, 0)) * max(0, min(y + h, info["height"]) - max(y, 0)) > 0
            assert a["area"] > 0 and w >= 1 and h >= 1 and labels[a["category_id"]] == 0
            boxes.append([x, y, x + w, y + h])
            scores.append(np.float32(a["score"]))
        assert usable == (len(boxes) > 0)  # or the image is left out, as one without objects
        by_file[info["file_name"]] = info["id"], found(np.array(boxes, dtype=np.float32), np.array(scores))
    assert all(by_file[image["file"]][0] == image["id"] for image in images)
    return {"AlignDet": [by_file[image["file"]][1] for image in images]}


# The others


def detectron2(folder, images):
    return {"Detectron2": [found(*f) for f in consumers.detectron2(os.path.join(folder, "proposals.pkl"), images)]}


def mmdet(folder, images):
    return {"MMDetection 3": [found(*f) for f in consumers.mmdet(os.path.join(folder, "proposals.pkl"), images)]}


def mmdet2(folder, images):
    return {"MMDetection 2": [found(*f) for f in consumers.mmdet2(os.path.join(folder, "proposals.pkl"), images)]}


def coco(folder, images):
    truth = {"images": images, "categories": [{"id": 1}]}
    of_image = consumers.load_results(truth, os.path.join(folder, "proposals.json"))
    loaded = []
    for image in images:
        results = of_image.get(image["id"], [])
        boxes = np.array([r["bbox"] for r in results]).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        loaded.append(found(boxes, np.array([r["score"] for r in results], dtype=np.float32)))
    return {"pycocotools": loaded}


def shards(folder, extension):
    return sorted(glob.glob(os.path.join(folder, "proposals-*." + extension)))


def by_image(rows, images):
    """The rows of all shards, in order, by the id as a text."""
    assert [row["file"] for row in rows] == [image["file"] for image in images]
    assert [row["id"] for row in rows] == [str(image["id"]) for image in images]
    return [found(row["boxes"], row["scores"]) for row in rows]


def npz(folder, images):
    return {"NumPy": by_image([row for file in shards(folder, "npz") for row in consumers.npz(file)["rows"]], images)}


def parquet(folder, images):
    return {"Parquet": by_image([row for file in shards(folder, "parquet") for row in consumers.parquet(file)["rows"]], images)}


def table(folder, images):
    loaded = {image["file"]: ([], []) for image in images}
    for file in shards(folder, "csv"):
        with open(file, newline="") as f:
            for row in csv.DictReader(f):
                boxes, scores = loaded[row["file"]]
                assert int(row["rank"]) == len(boxes) + 1
                boxes.append([int(row[c]) for c in ("x0", "y0", "x1", "y1")])
                scores.append(np.float32(row["score"]))
    return {"csv": [found(np.array(b).reshape(-1, 4), np.array(s)) for b, s in loaded.values()]}


loaders = {name.replace("_", "-"): f for name, f in list(globals().items()) if callable(f)} | {"csv": table}

if __name__ == "__main__":
    with open(sys.argv[3], encoding="utf-8") as f:
        json.dump(loaders[sys.argv[1]](sys.argv[2], json.load(f)), sys.stdout)
