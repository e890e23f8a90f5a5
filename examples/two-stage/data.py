"""Readers: COCO's instances, the pictures, RoIs as `proposer rois` writes them, and proposals as
`proposer batch --format detectron2` does. Boxes are x0, y0, x1, y1, half-open, in pixels of the
upright picture, float32."""

import json
import pickle
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from model import decode


@dataclass(frozen=True)
class Picture:
    """What a picture holds, by its annotations."""

    file: Path
    id: int
    boxes: Tensor  # (T, 4)
    classes: Tensor  # (T,)
    crowd: Tensor  # (T,) bool: regions of objects that nobody drew apart


@dataclass(frozen=True)
class RoIs:
    """What a picture is trained with."""

    file: str
    boxes: Tensor  # (N, 4)
    classes: Tensor  # (N,), -1 for background
    deltas: Tensor  # (N, 4), 0 for background


def read_picture(file: Path) -> Tensor:
    """The pixels, (3, height, width) of uint8. They are turned as EXIF says, as proposer turns them."""
    with Image.open(file) as image:
        pixels = np.array(ImageOps.exif_transpose(image).convert("RGB"))
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


def read_instances(folder: Path, class_names: list[str]) -> list[Picture]:
    """The pictures of a folder with instances.json; a class is its place in class_names."""
    told = json.loads((folder / "instances.json").read_text())
    # A category that class_names lacks was not trained, so its objects are no part of the test.
    classes = {c["id"]: class_names.index(c["name"]) for c in told["categories"] if c["name"] in class_names}
    objects: dict[int, list[dict]] = {image["id"]: [] for image in told["images"]}
    for a in told["annotations"]:
        if a["category_id"] in classes:
            objects[a["image_id"]].append(a)
    pictures = []
    for image in told["images"]:
        mine = objects[image["id"]]
        boxes = torch.tensor([a["bbox"] for a in mine], dtype=torch.float32).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        pictures.append(Picture(
            folder / image["file_name"], image["id"], boxes,
            torch.tensor([classes[a["category_id"]] for a in mine], dtype=torch.int64),
            torch.tensor([bool(a.get("iscrowd", 0)) for a in mine], dtype=torch.bool),
        ))
    return pictures


def read_rois(folder: Path) -> tuple[list[RoIs], list[str]]:
    """The RoIs of all shards of a folder, and the names of the classes, which are in each shard."""
    shards = sorted(folder.glob("*.npz"))
    if not shards:
        raise FileNotFoundError(f"{folder}: no .npz: want the folder that `proposer rois --out` wrote")
    pictures: list[RoIs] = []
    for shard in shards:
        with np.load(shard) as archive:
            z = {name: archive[name] for name in archive.files}
        names = z["class_names"].tolist()
        boxes = torch.from_numpy(z["rois"].astype(np.float32))
        classes = torch.from_numpy(z["classes"].astype(np.int64))
        deltas = torch.from_numpy(z["deltas"])
        check_deltas(shard, z, boxes, deltas)
        for i, file in enumerate(z["files"].tolist()):
            part = slice(z["offsets"][i], z["offsets"][i + 1])
            if z["errors"][i]:
                print(f"{file}: {z['errors'][i]}")
            elif part.start < part.stop:
                pictures.append(RoIs(file, boxes[part], classes[part], deltas[part]))
    return pictures, names


def check_deltas(shard: Path, z: dict[str, np.ndarray], boxes: Tensor, deltas: Tensor) -> None:
    """The deltas have to lead to the true boxes: the file does not tell their weights."""
    objects = np.flatnonzero(z["truth"] >= 0)
    picture = np.searchsorted(z["offsets"], objects, side="right") - 1
    truth = torch.from_numpy(z["truth_boxes"][z["truth_offsets"][picture] + z["truth"][objects]].astype(np.float32))
    off = (decode(boxes[objects], deltas[objects]) - truth).abs()
    if len(off) and off.max() > 0.05:
        raise ValueError(f"{shard}: deltas miss the true boxes: want `proposer rois --delta-weights 10,10,5,5`")


def read_proposals(file: Path) -> dict[int, Tensor]:
    """The boxes of each picture by its id in the data set, best first. A pickle runs what is in
    it: read only what you have written."""
    with open(file, "rb") as f:
        told = pickle.load(f)
    if told["bbox_mode"] != 0:
        raise ValueError(f"{file}: boxes of mode {told['bbox_mode']}: want 0, XYXY_ABS")
    return {i: torch.from_numpy(boxes) for i, boxes in zip(told["ids"], told["boxes"])}
