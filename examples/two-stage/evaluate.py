"""Average precision as COCO defines it: detections are matched greedily at IoU .5 to .95, precision is
read at 101 recalls and averaged over classes, for area "all" and "maxDets=100"."""

from dataclasses import dataclass

import numpy as np

IOUS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
MAX_DETECTIONS = 100


@dataclass(frozen=True)
class GroundTruth:
    boxes: np.ndarray  # (T, 4)
    classes: np.ndarray  # (T,)
    crowd: np.ndarray  # (T,) bool


@dataclass(frozen=True)
class Detections:
    boxes: np.ndarray  # (D, 4), best first
    scores: np.ndarray  # (D,)
    classes: np.ndarray  # (D,)


def overlaps(found: np.ndarray, truth: np.ndarray, crowd: np.ndarray) -> np.ndarray:
    """IoU of each detection with each ground-truth box; for a crowd, the fraction of the detection inside it."""
    low = np.maximum(found[:, None, :2], truth[None, :, :2])
    high = np.minimum(found[:, None, 2:], truth[None, :, 2:])
    common = np.prod(np.clip(high - low, 0, None), 2)
    area = np.prod(found[:, 2:] - found[:, :2], 1)[:, None]
    other = np.prod(truth[:, 2:] - truth[:, :2], 1)[None]
    union = np.where(crowd[None], area, area + other - common)
    return common / np.maximum(union, 1e-12)


def match(iou: np.ndarray, crowd: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Returns which detections, best first, are true positives, and which are ignored because they lie
    in a crowd. Each is matched with the unmatched object that it overlaps most, or else with a crowd."""
    free = ~crowd
    correct, ignored = np.zeros(len(iou), bool), np.zeros(len(iou), bool)
    for d, row in enumerate(iou):
        fits = row >= min(threshold, 1 - 1e-10)
        if (fits & free).any():
            free[np.argmax(np.where(fits & free, row, -1))] = False
            correct[d] = True
        elif (fits & crowd).any():
            ignored[d] = True
    return correct, ignored


def average_precision(correct: np.ndarray, objects: int) -> float:
    """Average precision of detections, best first, for a number of objects."""
    hits = np.cumsum(correct)
    recall, precision = hits / objects, hits / np.arange(1, len(correct) + 1)
    # The maximum precision at this or a higher recall.
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(recall, RECALLS, side="left")
    return float(np.append(precision, 0)[at].mean())


def mean_average_precision(truth: list[GroundTruth], found: list[Detections], classes: int) -> tuple[float, float]:
    """mAP at IoU .5, and its mean over IoU .5 to .95. Classes without objects are excluded."""
    table = []
    for c in range(classes):
        scores: list[np.ndarray] = []
        matches: list[list[tuple[np.ndarray, np.ndarray]]] = [[] for _ in IOUS]
        objects = 0
        for t, f in zip(truth, found):
            objects_of_class = t.classes == c
            detections = np.flatnonzero(f.classes == c)[:MAX_DETECTIONS]
            crowd = t.crowd[objects_of_class]
            objects += int((~crowd).sum())
            scores.append(f.scores[detections])
            iou = overlaps(f.boxes[detections], t.boxes[objects_of_class], crowd)
            for k, threshold in enumerate(IOUS):
                matches[k].append(match(iou, crowd, threshold))
        if objects == 0:
            continue
        order = np.argsort(-np.concatenate(scores), kind="stable")
        row = []
        for pairs in matches:
            correct, ignored = (np.concatenate(part)[order] for part in zip(*pairs))
            row.append(average_precision(correct[~ignored], objects))
        table.append(row)
    if not table:
        return float("nan"), float("nan")
    return float(np.mean([row[0] for row in table])), float(np.mean(table))
