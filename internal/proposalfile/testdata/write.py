"""Writes the same proposals in the formats of other programs into the folder sys.argv[1].

Images 1, 2 and 3 have two boxes, one and none. Boxes are half-open, with fractions.
"""
import pickle
import sys

import numpy as np
import scipy.io

folder = sys.argv[1]
names = ["1", "2", "3"]
boxes = [np.array([[20.5, 15, 80, 55.25], [0, 0, 5, 5]]), np.array([[90.0, 60, 140, 110]]), np.zeros((0, 4))]
scores = [np.array([0.875, 0.125]), np.array([0.5]), np.zeros(0)]
f32 = [b.astype(np.float32) for b in boxes]
five = [np.hstack([b, s[:, None]]).astype(np.float32) for b, s in zip(boxes, scores)]
unsorted = [(b[::-1], s[::-1]) for b, s in zip(f32, scores)]


def cells(arrays, shape):
    a = np.empty(len(arrays), dtype=object)
    for i, x in enumerate(arrays):
        a[i] = x
    return a.reshape(shape)


def save(name, value, protocol):
    with open(f"{folder}/{name}-{protocol}.pkl", "wb") as f:
        pickle.dump(value, f, protocol=protocol)


class InstanceData:
    """Has the attributes of MMEngine's class."""

    def __init__(self, **fields):
        self._metainfo_fields = set()
        self._data_fields = set(fields)
        self.__dict__.update(fields)


InstanceData.__module__ = "mmengine.structures.instance_data"
sys.modules["mmengine"] = sys.modules["mmengine.structures"] = sys.modules[InstanceData.__module__] = sys.modules["__main__"]

for protocol in range(6):
    save("detectron2", {"ids": [1, 2, 3], "boxes": [b for b, _ in unsorted], "objectness_logits": [s - 5 for _, s in unsorted], "bbox_mode": 0}, protocol)
    save("detectron2-xywh", {"ids": ["1", "2", "3"], "bbox_mode": 1, "objectness_logits": scores,
                             "boxes": [np.hstack([b[:, :2], b[:, 2:] - b[:, :2]]) for b in boxes]}, protocol)
    save("detectron", {"indexes": [1, 2, 3], "boxes": [b - [0, 0, 1, 1] for b in boxes], "scores": scores}, protocol)
    save("detectron-arrays", {"ids": np.array([1, 2, 3]), "boxes": cells([b - [0, 0, 1, 1] for b in boxes], 3),
                              "scores": cells([s[:, None] for s in scores], 3)}, protocol)
    save("mmdet3", {f"x/{n}.jpg": {"bboxes": b, "scores": s} for n, (b, s) in zip(names, unsorted)}, protocol)
    save("mmdet3-instances", {f"x/{n}.jpg": InstanceData(bboxes=b, scores=s) for n, (b, s) in zip(names, unsorted)}, protocol)
    save("mmdet3-arrays", dict(zip(names, five)), protocol)
    save("mmdet2", five, protocol)
    save("mmdet2-columns", [np.asfortranarray(a) for a in five], protocol)
    save("mmdet2-lists", [a.tolist() for a in five], protocol)

one_based = [np.column_stack([b[:, 1] + 1, b[:, 0] + 1, b[:, 3], b[:, 2]]) for b in boxes]
sized = [np.column_stack([b[:, :2] + 1, b[:, 2:] - b[:, :2], s]) for b, s in zip(boxes, scores)]
for compress in (False, True):
    def mat(name, **variables):
        scipy.io.savemat(f"{folder}/{name}-{compress}.mat", variables, do_compression=compress)

    mat("fast-rcnn", boxes=cells(one_based, (1, 3)), images=cells(names, (3, 1)))
    mat("oicr", other=np.arange(3), images=cells(names, (1, 3)), boxScores=cells([s[::-1, None] for s in scores], (1, 3)),
        boxes=cells([b[::-1] for b in one_based], (3, 1)))
    mat("characters", boxes=cells(one_based, (1, 3)), images=np.array(names))
    mat("without-names", boxes=cells(one_based, (1, 3)))
    mat("edge-boxes", bbs=cells([b[::-1] for b in sized], (3, 1)))

np.savez(f"{folder}/named.npz", **dict(zip(names, five)))
np.savez_compressed(f"{folder}/offsets.npz", ids=np.array([1, 2, 3]), offsets=np.array([0, 2, 3, 3]),
                    boxes=np.asfortranarray(np.concatenate(boxes)), scores=np.concatenate(scores))
