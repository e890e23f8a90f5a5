"""Loads files of one image each with the steps of their consumers, and prints what it found as JSON.

imagefiles.py FORMAT FOLDER IMAGES

FOLDER has the files that proposer batch wrote, IMAGES the images. The result is an object by the path of
the image below IMAGES: {"boxes", "scores"}, or {"labels"}, the SHA-256 of the labels as int32.
"""

import hashlib
import json
import os
import sys

import numpy as np
import scipy.io
import torch
from PIL import Image


def opened(path):
    """The image as PIL's users load it; None if that fails."""
    try:
        return Image.open(path).convert("RGB")
    except OSError:
        return None


def npy(folder, images, name):
    """As torch.from_numpy takes it."""
    array = torch.from_numpy(np.load(os.path.join(folder, os.path.splitext(name)[0] + ".npy")))
    assert array.dtype == torch.float32 and array.shape[1] == 5
    return {"boxes": array[:, :4].tolist(), "scores": array[:, 4].tolist()}


def detreg(folder, images, name):
    """SelfDet of DETReg with the strategy mc."""
    file = os.path.join(folder, name.split("/")[-1].split(".")[0] + ".npy")
    with open(file, "rb") as f:
        boxes = np.load(f)
    img = opened(os.path.join(images, name))
    if img is None or len(boxes) < 2:
        return {"boxes": boxes.tolist()}  # another image is taken
    for b in boxes[:30]:
        patch = img.crop([b[0], b[1], b[2], b[3]])
        assert patch.size == (b[2] - b[0], b[3] - b[1])
    target = torch.tensor(boxes)
    assert target.dtype == torch.float32 and target.shape[1] == 4
    return {"boxes": target.tolist()}


def siamese_detr(folder, images, name):
    """CocoWithUnsupbox and ImageNetWithUnsupbox of Siamese DETR, and clip_and_remove_out_box."""
    array = np.load(os.path.join(folder, name.split(".")[0] + ".npy"), allow_pickle=True)
    loaded = array.tolist()
    boxes = torch.from_numpy(loaded["box"]).to(torch.float32)
    clipped = boxes.clone()
    clipped[:, 2].clamp_(max=50)
    area = (clipped[:, 2:] - clipped[:, :2]).prod(dim=1)
    assert len(clipped[area >= 1]) <= len(boxes)
    return {"boxes": boxes.tolist(), "scores": loaded["score"].tolist()}


def hosang(folder, images, name):
    """read_candidates_mat and get_candidates of detection-proposals, with the order "descend"."""
    img_id = os.path.splitext(os.path.basename(name))[0]
    loaded = scipy.io.loadmat(os.path.join(folder, img_id[:4], img_id + ".mat"), mat_dtype=True)
    candidates, scores = loaded["boxes"], loaded["scores"]
    assert loaded["num_candidates"].size == 0 and candidates.dtype == scores.dtype == np.float64
    assert candidates.shape == (len(scores), 4) and scores.shape == (len(scores), 1)
    order = np.argsort(-scores[:, 0], kind="stable")
    candidates, scores = candidates[order], scores[order, 0]
    assert len(np.unique(candidates, axis=0)) == len(candidates)
    candidates[:, :2] -= 1  # from 1-based, inclusive
    return {"boxes": candidates.tolist(), "scores": scores.tolist()}


def labels_npy(folder, images, name):
    """The TFRecords of DetCon: _convert_to_example, then _get_segmentations and the binary masks."""
    labels = np.load(os.path.join(folder, os.path.splitext(name)[0] + ".npy"))
    height, width = labels.shape
    masks = np.stack([labels.astype(np.dtype("<u1"))])
    text = masks.reshape([-1]).tobytes()
    fh = np.transpose(np.frombuffer(text, np.uint8).reshape((1, height, width)), (1, 2, 0))
    binary = torch.arange(256).reshape(1, 1, 256) == torch.from_numpy(fh.copy())
    assert (binary.sum(dim=2) == 1).all()
    return {"labels": digest(binary.int().argmax(dim=2).numpy())}


def labels_png(folder, images, name):
    img = Image.open(os.path.join(folder, os.path.splitext(name)[0] + ".png"))
    assert img.mode == "L", img.mode
    return {"labels": digest(np.array(img))}


def wsod2(folder, images, name):
    """LoadSuperPixelFromFile and _cal_bu of WSOD2. cv2.imdecode returns B, G, R."""
    file = os.path.join(folder, os.path.splitext(os.path.basename(name))[0] + ".jpg")
    ss = torch.from_numpy(np.array(Image.open(file))[:, :, ::-1].copy()).long()
    assert ss.shape[2] == 3
    return {"labels": digest((ss[:, :, 0] * 256 * 256 + ss[:, :, 1] * 256 + ss[:, :, 2]).numpy())}


def digest(labels):
    return hashlib.sha256(labels.astype("<i4").tobytes()).hexdigest()


def main():
    consumer, folder, images = sys.argv[1:]
    found = {}
    for at, _, files in os.walk(images):
        for file in files:
            name = os.path.relpath(os.path.join(at, file), images)
            try:
                found[name] = globals()[consumer.replace("-", "_")](folder, images, name)
            except FileNotFoundError:
                found[name] = {"missing": True}
    json.dump(found, sys.stdout)


main()
