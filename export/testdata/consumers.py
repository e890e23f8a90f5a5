"""Reads what the writers make, in the way of those who use it, and tells it as JSON.

consumers.py coco TRUTH.json FILE
"""

import json
import sys


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


if __name__ == "__main__":
    json.dump({"coco": coco}[sys.argv[1]](*sys.argv[2:]), sys.stdout)
