"""Readers of COCO's instances.json, of images, of the RoIs that `proposer rois` writes and of the
proposals that `proposer batch --format detectron2` writes. Boxes are x0, y0, x1, y1, half-open, in
pixels of the upright image, float32."""

import json
import math
import pickle
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from model import decode


@dataclass(frozen=True)
class AnnotatedImage:
    """An image and its annotations."""

    file: Path
    id: int
    boxes: Tensor  # (T, 4)
    classes: Tensor  # (T,)
    crowd: Tensor  # (T,) bool: regions of several objects without boxes of their own


@dataclass(frozen=True)
class RoIs:
    """The training samples of an image."""

    file: str
    boxes: Tensor  # (N, 4)
    classes: Tensor  # (N,), the number of classes for background
    deltas: Tensor  # (N, 4), 0 for background


def read_image(file: Path) -> Tensor:
    """Returns the pixels, (3, height, width) of uint8, upright by EXIF as proposer reads them."""
    with Image.open(file) as image:
        pixels = np.array(ImageOps.exif_transpose(image).convert("RGB"))
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


def images_folder(folder: Path) -> Path:
    """Returns the folder of the images of a folder with instances.json, found as proposer finds it:
    the folder itself or images in it."""
    names = [file_name(image) for image in read_json(folder)["images"][:20]]
    for candidate in [folder, folder / "images", folder / "JPEGImages"]:
        if any((candidate / name).is_file() for name in names):
            return candidate
    raise FileNotFoundError(f"{folder}: no image of instances.json: want them beside it or in images")


def read_json(folder: Path) -> dict:
    return json.loads((folder / "instances.json").read_text(encoding="utf-8-sig"))


def file_name(image: dict) -> str:
    return image["file_name"].replace("\\", "/")


def is_valid(a: dict) -> bool:
    """Reports whether an annotation has a box that proposer also reads."""
    box = a.get("bbox")
    return isinstance(box, list) and len(box) == 4 and all(map(math.isfinite, box)) and min(box[2:]) >= 0


def upright_boxes(file: Path, boxes: Tensor, annotated: tuple[int, int]) -> Tensor:
    """Returns boxes in pixels of the upright image; annotated is the size that they are for. Those of
    the image as it is stored are turned with it, as proposer does."""
    if not file.is_file():
        return boxes
    with Image.open(file) as image:
        orientation, (width, height) = image.getexif().get(0x0112, 1), image.size
    if orientation not in (5, 6, 7, 8) or width == height or annotated != (width, height):
        return boxes
    width, height = height, width  # of the upright image
    x0, y0, x1, y1 = boxes[:, [1, 0, 3, 2]].unbind(1)
    if orientation in (6, 7):
        x0, x1 = width - x1, width - x0
    if orientation in (7, 8):
        y0, y1 = height - y1, height - y0
    return torch.stack([x0, y0, x1, y1], 1)


def read_instances(folder: Path, class_names: list[str]) -> list[AnnotatedImage]:
    """Returns the images of a folder with instances.json; a class is an index into class_names."""
    content = read_json(folder)
    files = images_folder(folder)
    # Categories that are not in class_names were not trained and are not tested.
    classes = {c["id"]: class_names.index(c["name"]) for c in content["categories"] if c["name"] in class_names}
    objects: dict[int, list[dict]] = {image["id"]: [] for image in content["images"]}
    for a in content["annotations"]:
        if a.get("category_id") in classes and a.get("image_id") in objects and is_valid(a):
            objects[a["image_id"]].append(a)
    images = []
    for image in content["images"]:
        annotations = objects[image["id"]]
        boxes = torch.tensor([a["bbox"] for a in annotations], dtype=torch.float32).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        file = files / file_name(image)
        boxes = upright_boxes(file, boxes, (image.get("width"), image.get("height")))
        images.append(AnnotatedImage(
            file, image["id"], boxes,
            torch.tensor([classes[a["category_id"]] for a in annotations], dtype=torch.int64),
            torch.tensor([bool(a.get("iscrowd", 0)) for a in annotations], dtype=torch.bool),
        ))
    return images


def read_rois(folder: Path) -> tuple[list[RoIs], list[str]]:
    """Returns the RoIs of all shards of a folder, and the class names, which each shard contains."""
    shards = sorted(folder.glob("*.npz"))
    if not shards:
        raise FileNotFoundError(f"{folder}: no .npz: want the folder that `proposer rois --out` wrote")
    images: list[RoIs] = []
    for shard in shards:
        with np.load(shard) as archive:
            z = {name: archive[name] for name in archive.files}
        names = z["class_names"].tolist()
        boxes = torch.from_numpy(z["rois"].astype(np.float32))
        classes = torch.from_numpy(z["classes"])
        deltas = torch.from_numpy(z["deltas"])
        check_deltas(shard, z, boxes, deltas)
        for i, file in enumerate(z["files"].tolist()):
            part = slice(z["offsets"][i], z["offsets"][i + 1])
            if z["errors"][i]:
                print(f"{file}: {z['errors'][i]}")
            elif part.start < part.stop:
                images.append(RoIs(file, boxes[part], classes[part], deltas[part]))
    return images, names


def check_deltas(shard: Path, z: dict[str, np.ndarray], boxes: Tensor, deltas: Tensor) -> None:
    """Checks that the deltas lead to the ground-truth boxes, since the file does not contain their weights."""
    objects = np.flatnonzero(z["truth"] >= 0)
    image = np.searchsorted(z["offsets"], objects, side="right") - 1
    truth = torch.from_numpy(z["truth_boxes"][z["truth_offsets"][image] + z["truth"][objects]].astype(np.float32))
    off = (decode(boxes[objects], deltas[objects]) - truth).abs()
    if len(off) and off.max() > 0.05:
        raise ValueError(f"{shard}: deltas do not lead to the ground-truth boxes: want `proposer rois --delta-weights 10,10,5,5`")


def read_proposals(file: Path) -> dict[int, Tensor]:
    """Returns the boxes of each image by its id in the data set, best first. Unpickling executes
    code: read only files that you trust."""
    with open(file, "rb") as f:
        content = pickle.load(f)
    if content["bbox_mode"] != 0:
        raise ValueError(f"{file}: boxes of mode {content['bbox_mode']}: want 0, XYXY_ABS")
    return {i: torch.from_numpy(boxes) for i, boxes in zip(content["ids"], content["boxes"])}
