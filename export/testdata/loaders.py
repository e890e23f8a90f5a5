"""Loads files of proposals the way their consumers do, step by step, and tells what they get.

Standard input: [{"format": ..., "file": ..., "pictures": [{"path": ..., "id": ..., "width": ..., "height": ...}]}, ...]
Standard output: [[{"boxes": [[...], ...], "scores": [...] or null}, ...], ...], by file and picture.
"""

import json
import os.path
import pickle
import sys
import warnings

import numpy as np
import scipy.io

TOP = 1 << 20


def load(file, **how):
    """What is in a pickle; loading it must need nothing but numpy, and warn of nothing."""
    with warnings.catch_warnings(), open(file, "rb") as f:
        warnings.simplefilter("error")
        return pickle.load(f, **how)


def same(a, b):
    """Whether two loaded things are equal, types and all."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and (a == b).all()
    return a == b


def usable(array):
    """Augmentations write into arrays, torch.from_numpy wants them writable and in the machine's order."""
    flags = array.flags
    assert array.dtype == np.float32 and array.dtype.isnative and flags.writeable and flags.c_contiguous and flags.aligned, array
    copy = array.copy()
    array += 1
    array -= 1
    array[...] = copy
    # As numpy would have pickled it.
    assert same(pickle.loads(pickle.dumps(array)), array)
    return array


def detectron2(file, pictures):
    proposals = load(file, encoding="latin1")
    assert same(proposals, load(file))
    # It takes these names for those of Detectron 1.
    assert "indexes" not in proposals and "scores" not in proposals
    wanted = {str(p["id"]) for p in pictures}
    places = {str(i): n for n, i in enumerate(proposals["ids"]) if str(i) in wanted}
    assert proposals.get("bbox_mode", 0) == 0  # BoxMode.XYXY_ABS
    for p in pictures:
        i = places[str(p["id"])]
        boxes, logits = usable(proposals["boxes"][i]), usable(proposals["objectness_logits"][i])
        order = logits.argsort()[::-1]
        assert (order == np.arange(len(order))).all()
        boxes, logits = boxes[order], logits[order].astype("float32")
        # Then it clips them, drops the empty ones, and takes the first.
        clipped = boxes.copy()
        clipped[:, 0::2] = clipped[:, 0::2].clip(0, p["width"])
        clipped[:, 1::2] = clipped[:, 1::2].clip(0, p["height"])
        keep = (clipped[:, 2] - clipped[:, 0] > 0) & (clipped[:, 3] - clipped[:, 1] > 0)
        assert keep.all() and (clipped == boxes).all()
        yield boxes[:TOP], logits[:TOP]


def mmdet(file, pictures):
    proposals = load(file)
    assert same(proposals, load(file, encoding="latin1"))
    assert len(proposals) == len(pictures)
    for p in pictures:
        folder, name = os.path.split(p["path"])
        entry = proposals[os.path.join(os.path.split(folder)[-1], name)]
        assert isinstance(entry, dict)
        boxes, scores = usable(entry["bboxes"]).astype(np.float32), usable(entry["scores"]).astype(np.float32)
        assert boxes.shape[1] == 4 and boxes.shape[0] == scores.shape[0]
        yield boxes[:TOP], scores[:TOP]


def mmdet2(file, pictures):
    proposals = load(file)
    assert same(proposals, load(file, encoding="latin1"))
    assert len(proposals) == len(pictures)
    for i in range(len(pictures)):
        array = usable(proposals[i])
        assert array.shape[1] == 5
        # The pipeline drops the scores; evaluation reads them.
        yield array[:, :4][:TOP], array[:, 4]


def fast_rcnn(file, pictures):
    raw = scipy.io.loadmat(file)["boxes"].ravel()
    assert raw.shape[0] == len(pictures)
    for i, p in enumerate(pictures):
        boxes = raw[i][:, (1, 0, 3, 2)] - 1
        # Faster R-CNN's code then looks for doubles by a number of three digits a coordinate.
        assert np.round(boxes * 1.0).dot(np.array([1, 1e3, 1e6, 1e9])).shape == (len(boxes),)
        # The true boxes are put above them, as uint16, and all are flipped.
        truth = np.array([[0, 0, p["width"] - 1, p["height"] - 1]], dtype=np.uint16)
        flipped = np.vstack((truth, boxes))
        flipped[:, 0], flipped[:, 2] = p["width"] - flipped[:, 2] - 1, p["width"] - flipped[:, 0] - 1
        assert (flipped[:, 2] >= flipped[:, 0]).all() and (flipped >= 0).all()
        assert (flipped[:, 2] < p["width"]).all() and (flipped[:, 3] < p["height"]).all()
        yield boxes, None
    # The names are not read by it.
    images = scipy.io.loadmat(file)["images"]
    assert images.shape == (len(pictures), 1)
    for image, p in zip(images.ravel(), pictures):
        name = os.path.splitext(os.path.basename(p["path"]))[0]
        assert "".join(image) == name.rstrip(" "), (image, name)


consumers = {"detectron2": detectron2, "mmdet": mmdet, "mmdet2": mmdet2, "mat": fast_rcnn}
answers = []
for case in json.load(sys.stdin):
    answers.append([
        {"boxes": boxes.tolist(), "scores": None if scores is None else scores.tolist()}
        for boxes, scores in consumers[case["format"]](case["file"], case["pictures"])
    ])
json.dump(answers, sys.stdout)
