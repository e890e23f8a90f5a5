"""Reads what the writers make, in the way of those who use it, and tells it as JSON.

consumers.py coco TRUTH.json FILE
consumers.py parquet FILE
consumers.py npz FILE
consumers.py detectors JOBS.json, a list of {"format", "file", "pictures": [{"path", "id", "width", "height"}]}
"""

import json
import os.path
import pickle
import struct
import sys
import warnings


def runs(counts):
    """The lengths of a mask's runs, as maskApi.c's rleFrString takes them from the text."""
    lengths, at, text = [], 0, counts.encode("ascii")
    while at < len(text):
        value, shift, more = 0, 0, True
        while more:
            c = text[at] - 48
            assert 0 <= c < 64, counts
            value |= (c & 31) << shift
            at, shift, more = at + 1, shift + 5, c & 32
            if not more and c & 16:
                value |= -1 << shift
        if len(lengths) > 2:
            value += lengths[-2]
        lengths.append(value)
    return lengths


def load_results(truth, file):
    """What pycocotools' COCO.loadRes does with a file of boxes, check by check."""
    with open(file, encoding="utf-8") as f:
        results = json.load(f)
    assert type(results) == list, "results in not an array of objects"
    known = {image["id"] for image in truth["images"]}
    ids = [result["image_id"] for result in results]
    assert set(ids) == (set(ids) & known), "Results do not correspond to current coco set"
    assert "caption" not in results[0]
    assert "bbox" in results[0] and not results[0]["bbox"] == []
    categories = {category["id"] for category in truth["categories"]}
    of_image = {}
    for number, result in enumerate(results):
        x, y, w, h = result["bbox"]
        if "segmentation" not in result:
            result["segmentation"] = [[x, y, x, y + h, x + w, y + h, x + w, y]]
        result["area"] = w * h
        result["id"] = number + 1
        result["iscrowd"] = 0
        of_image.setdefault(result["image_id"], []).append(result)
        assert result["category_id"] in categories
    # COCOeval takes an image's results by their scores, those of equal scores as they come.
    for image in of_image.values():
        image.sort(key=lambda result: -result["score"])
    return of_image


def coco(truth, file):
    with open(truth, encoding="utf-8") as f:
        truth = json.load(f)
    try:
        of_image = load_results(truth, file)
    except (AssertionError, IndexError) as e:
        return {"problem": f"{type(e).__name__}: {e}"}
    rows = []
    for image in truth["images"]:
        found = of_image.get(image["id"], [])
        row = {"id": image["id"], "boxes": [r["bbox"] for r in found], "scores": [r["score"] for r in found], "masks": []}
        for r in found:
            assert r["area"] == r["bbox"][2] * r["bbox"][3]
            if isinstance(r["segmentation"], dict):  # annToRLE, then decode
                height, width = r["segmentation"]["size"]
                assert (height, width) == (image["height"], image["width"])
                lengths = runs(r["segmentation"]["counts"])
                assert sum(lengths) == height * width
                row["masks"].append(lengths)
        rows.append(row)
    return {"rows": rows}


class Thrift:
    """Thrift's compact protocol: structs become dictionaries by the fields' numbers."""

    def __init__(self, data, at=0):
        self.data, self.at = data, at

    def byte(self):
        self.at += 1
        return self.data[self.at - 1]

    def varint(self):
        value, shift = 0, 0
        while True:
            b = self.byte()
            value |= (b & 127) << shift
            shift += 7
            if not b & 128:
                return value

    def zigzag(self):
        value = self.varint()
        return value >> 1 ^ -(value & 1)

    def take(self, n):
        assert self.at + n <= len(self.data)
        self.at += n
        return self.data[self.at - n : self.at]

    def value(self, kind):
        if kind in (1, 2):
            return kind == 1
        if kind == 3:
            return self.byte()
        if kind in (4, 5, 6):
            return self.zigzag()
        if kind == 7:
            return struct.unpack("<d", self.take(8))[0]
        if kind == 8:
            return self.take(self.varint())
        if kind == 9:
            head = self.byte()
            n = head >> 4 if head >> 4 < 15 else self.varint()
            return [self.value(head & 15) for _ in range(n)]
        assert kind == 12, kind
        return self.struct()

    def struct(self):
        fields, number = {}, 0
        while True:
            head = self.byte()
            if head == 0:
                return fields
            number = number + (head >> 4) if head >> 4 else self.zigzag()
            fields[number] = self.value(head & 15)


def hybrid(data, bits, n):
    """Parquet's runs of repeated and of packed numbers, n of them."""
    r, values = Thrift(data), []
    while len(values) < n:
        head = r.varint()
        if head & 1:
            packed = int.from_bytes(r.take((head >> 1) * bits), "little")
            values += [packed >> (i * bits) & ((1 << bits) - 1) for i in range((head >> 1) * 8)]
        else:
            values += [int.from_bytes(r.take((bits + 7) // 8), "little")] * (head >> 1)
    return values[:n]


def plain(data, kind, n):
    if kind in (1, 4):
        return list(struct.unpack(f"<{n}{' i  f'[kind]}", data))
    assert kind == 6
    r = Thrift(data)
    values = [r.take(int.from_bytes(r.take(4), "little")).decode("utf-8") for _ in range(n)]
    assert r.at == len(data)
    return values


def column(data, chunk, repeated, deepest):
    """The rows of a column: lists if it is repeated, and None for what is null."""
    meta = chunk[3]
    assert meta[4] == 0, "compressed"
    at, end = meta.get(11, meta[9]), meta.get(11, meta[9]) + meta[7]
    dictionary, rows = None, []
    while at < end:
        r = Thrift(data, at)
        head = r.struct()
        page, at = data[r.at : r.at + head[3]], r.at + head[3]
        assert head[2] == head[3] == len(page)
        if head[1] == 2:
            dictionary = plain(page, meta[1], head[7][1])
            continue
        assert head[1] == 0
        n, encoding = head[5][1], head[5][2]
        levels = []
        for most in (repeated, deepest):
            if most == 0:
                levels.append([0] * n)
                continue
            length = int.from_bytes(page[:4], "little")
            levels.append(hybrid(page[4 : 4 + length], most.bit_length(), n))
            page = page[4 + length :]
        present = sum(d == deepest for d in levels[1])
        if encoding == 8:
            values = [dictionary[i] for i in hybrid(page[1:], page[0], present)]
        else:
            assert encoding == 0, encoding
            values = plain(page, meta[1], present)
        values = iter(values)
        for again, d in zip(*levels):
            v = next(values) if d == deepest else None
            if not repeated:
                rows.append(v)
            elif again:
                rows[-1].append(v)
            else:
                rows.append([] if v is None else [v])
    assert sum(max(len(row), 1) if repeated else 1 for row in rows) == meta[5]
    return rows


def parquet(file):
    with open(file, "rb") as f:
        data = f.read()
    assert data[:4] == data[-4:] == b"PAR1"
    length = int.from_bytes(data[-8:-4], "little")
    meta = Thrift(data, len(data) - 8 - length).struct()
    leaves, elements = [], iter(meta[2][1:])

    def walk(n, repeated, deepest):
        for _ in range(n):
            e = next(elements)
            r, d = repeated + (e[3] == 2), deepest + (e[3] != 0)
            walk(e[5], r, d) if 5 in e else leaves.append((r, d))

    walk(meta[2][0][5], 0, 0)
    names = [e[4].decode() for e in meta[2][1:] if e[4] not in (b"list", b"element")]
    rows = []
    for group in meta[4]:
        columns = [column(data, c, *leaf) for c, leaf in zip(group[1], leaves, strict=True)]
        assert {len(c) for c in columns} == {group[3]}
        rows += [dict(zip(names, row, strict=True)) for row in zip(*columns)]
    assert len(rows) == meta[3]
    for row in rows:
        flat = row["boxes"]
        row["boxes"] = [flat[i : i + 4] for i in range(0, len(flat), 4)]
    return {"groups": len(meta[4]), "rows": rows}


def npz(file):
    import numpy as np

    with np.load(file) as z:
        assert z.files == ["files", "ids", "sizes", "offsets", "boxes", "scores", "errors"], z.files
        a = {name: z[name] for name in z.files}
    n = len(a["files"])
    types = {name: str(v.dtype) for name, v in a.items() if v.dtype.kind != "U"}
    assert types == {"sizes": "int32", "offsets": "int64", "boxes": "int32", "scores": "float32"}, types
    assert a["ids"].shape == a["errors"].shape == (n,) and a["sizes"].shape == (n, 2) and a["offsets"].shape == (n + 1,)
    assert a["boxes"].shape == (a["offsets"][-1], 4) and a["scores"].shape == (a["offsets"][-1],) and a["offsets"][0] == 0
    rows = []
    for i in range(n):
        own = slice(a["offsets"][i], a["offsets"][i + 1])
        rows.append({
            "id": str(a["ids"][i]), "file": str(a["files"][i]), "error": str(a["errors"][i]) or None,
            "width": int(a["sizes"][i, 0]), "height": int(a["sizes"][i, 1]),
            "boxes": a["boxes"][own].tolist(), "scores": a["scores"][own].tolist(),
        })
    return {"rows": rows}


# The detectors, each as its loader goes on, step by step.

TOP = 1 << 20  # the most proposals that are asked for


def load(file, **how):
    """What is in a pickle; loading it must need nothing but numpy, and warn of nothing."""
    with warnings.catch_warnings(), open(file, "rb") as f:
        warnings.simplefilter("error")
        return pickle.load(f, **how)


def same(a, b):
    """Whether two loaded things are equal, types and all."""
    import numpy as np

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
    import numpy as np

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
    import numpy as np

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
    import numpy as np

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
    import numpy as np
    import scipy.io

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
    assert images.shape == (1, len(pictures))
    for image, p in zip(images.ravel(), pictures):
        name = os.path.splitext(os.path.basename(p["path"]))[0]
        assert "".join(image) == name.rstrip(" "), (image, name)


def detectors(jobs):
    """What they get of the pictures of several files."""
    loaders = {"detectron2": detectron2, "mmdet": mmdet, "mmdet2": mmdet2, "mat": fast_rcnn}
    with open(jobs, encoding="utf-8") as f:
        jobs = json.load(f)
    return [
        [
            {"boxes": boxes.tolist(), "scores": None if scores is None else scores.tolist()}
            for boxes, scores in loaders[job["format"]](job["file"], job["pictures"])
        ]
        for job in jobs
    ]


consumers = {"coco": coco, "parquet": parquet, "npz": npz, "detectors": detectors}

if __name__ == "__main__":
    json.dump(consumers[sys.argv[1]](*sys.argv[2:]), sys.stdout)
