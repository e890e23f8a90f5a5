"""Average precision as COCO defines it: detections matched greedily at IoUs of .5 to .95, precision
read at 101 recalls, the mean over classes. Areas and at most 100 detections a picture are COCO's
"all" and "maxDets=100"."""

from dataclasses import dataclass

import numpy as np

IOUS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
MOST = 100


@dataclass(frozen=True)
class Truth:
    boxes: np.ndarray  # (T, 4)
    classes: np.ndarray  # (T,)
    crowd: np.ndarray  # (T,) bool


@dataclass(frozen=True)
class Found:
    boxes: np.ndarray  # (D, 4), best first
    scores: np.ndarray  # (D,)
    classes: np.ndarray  # (D,)


def overlaps(found: np.ndarray, truth: np.ndarray, crowd: np.ndarray) -> np.ndarray:
    """IoU of each detection with each true box; with a crowd the share of the detection in it."""
    low = np.maximum(found[:, None, :2], truth[None, :, :2])
    high = np.minimum(found[:, None, 2:], truth[None, :, 2:])
    common = np.prod(np.clip(high - low, 0, None), 2)
    area = np.prod(found[:, 2:] - found[:, :2], 1)[:, None]
    other = np.prod(truth[:, 2:] - truth[:, :2], 1)[None]
    whole = np.where(crowd[None], area, area + other - common)
    return common / np.maximum(whole, 1e-12)


def match(iou: np.ndarray, crowd: np.ndarray, least: float) -> tuple[np.ndarray, np.ndarray]:
    """For detections, best first: which are right, and which are ignored, as they lie in a crowd.
    Each takes the free object that it overlaps most, or else a crowd."""
    free = ~crowd
    right, ignored = np.zeros(len(iou), bool), np.zeros(len(iou), bool)
    for d, row in enumerate(iou):
        fits = row >= min(least, 1 - 1e-10)
        if (fits & free).any():
            free[np.argmax(np.where(fits & free, row, -1))] = False
            right[d] = True
        elif (fits & crowd).any():
            ignored[d] = True
    return right, ignored


def average_precision(right: np.ndarray, objects: int) -> float:
    """Of detections, best first, of which some are right, where there are so many objects."""
    hits = np.cumsum(right)
    recall, precision = hits / objects, hits / np.arange(1, len(right) + 1)
    # The best precision at that recall or a larger one.
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(recall, RECALLS, side="left")
    return float(np.append(precision, 0)[at].mean())


def mean_average_precision(truth: list[Truth], found: list[Found], classes: int) -> tuple[float, float]:
    """mAP at an IoU of .5, and the mean of those at .5 to .95. Classes without objects do not count."""
    table = []
    for c in range(classes):
        scores: list[np.ndarray] = []
        matches: list[list[tuple[np.ndarray, np.ndarray]]] = [[] for _ in IOUS]
        objects = 0
        for t, f in zip(truth, found):
            mine, theirs = t.classes == c, np.flatnonzero(f.classes == c)[:MOST]
            crowd = t.crowd[mine]
            objects += int((~crowd).sum())
            scores.append(f.scores[theirs])
            iou = overlaps(f.boxes[theirs], t.boxes[mine], crowd)
            for k, least in enumerate(IOUS):
                matches[k].append(match(iou, crowd, least))
        if objects == 0:
            continue
        order = np.argsort(-np.concatenate(scores), kind="stable")
        row = []
        for pairs in matches:
            right, ignored = (np.concatenate(part)[order] for part in zip(*pairs))
            row.append(average_precision(right[~ignored], objects))
        table.append(row)
    if not table:
        return float("nan"), float("nan")
    return float(np.mean([row[0] for row in table])), float(np.mean(table))
