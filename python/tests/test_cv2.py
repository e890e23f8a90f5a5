"""Tests of proposer.cv2, most of them beside OpenCV's cv2, which its tests need."""

from __future__ import annotations

import importlib
import os
import pickle
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import proposer
import pytest
from numpy.typing import NDArray
from proposer.cv2 import error
from proposer.cv2.ximgproc import segmentation

ours: Any = segmentation  # tests pass arguments of wrong types
SCRIPTS = Path(__file__).parent / "scripts"
CREATE = "createSelectiveSearchSegmentation"
STRATEGY = CREATE + "Strategy"
SWITCHES = {
    "switchToSingleStrategy": "opencv-single",
    "switchToSelectiveSearchFast": "opencv-fast",
    "switchToSelectiveSearchQuality": "opencv-quality",
}


@pytest.fixture
def cv2() -> Any:
    module = pytest.importorskip("cv2")
    if not hasattr(module, "ximgproc"):
        pytest.skip("OpenCV has no contributed modules")
    return module


def draw_scene(seed: int, height: int = 120, width: int = 160, objects: int = 6) -> NDArray[np.uint8]:
    """Draw rectangles and ellipses of one color each on a gradient, with noise, in BGR."""
    rng = np.random.default_rng(seed)
    image = np.empty((height, width, 3))
    image[:] = rng.integers(60, 200, 3)
    image += np.linspace(0, 30, width)[None, :, None]
    ys, xs = np.mgrid[:height, :width]
    for _ in range(objects):
        h, w = rng.integers(height // 8, height // 2), rng.integers(width // 8, width // 2)
        y, x = rng.integers(0, height - h), rng.integers(0, width - w)
        if rng.random() < 0.5:
            inside = (xs >= x) & (xs < x + w) & (ys >= y) & (ys < y + h)
        else:
            inside = ((xs - x - w / 2) / (w / 2)) ** 2 + ((ys - y - h / 2) / (h / 2)) ** 2 < 1
        image[inside] = rng.integers(0, 256, 3)
    return np.clip(image + rng.normal(0, 2, image.shape), 0, 255).astype(np.uint8)


def search(module: Any, image: Any, switch: str = "switchToSingleStrategy", *args: Any, **options: Any) -> Any:
    s = module.createSelectiveSearchSegmentation()
    s.setBaseImage(image)
    getattr(s, switch)(*args, **options)
    return s.process()


def combined(module: Any, images: list[Any], segmentations: list[Any], strategies: list[Any]) -> Any:
    s = module.createSelectiveSearchSegmentation()
    for image in images:
        s.addImage(image)
    for g in segmentations:
        s.addGraphSegmentation(module.createGraphSegmentation(*g))
    for strategy in strategies:
        s.addStrategy(strategy)
    return s.process()


def multiple(module: Any, measures: str) -> Any:
    names = {"C": "Color", "T": "Texture", "S": "Size", "F": "Fill"}
    parts = [getattr(module, STRATEGY + names[m])() for m in measures]
    return parts[0] if len(parts) == 1 else module.createSelectiveSearchSegmentationStrategyMultiple(*parts)


def sorted_rows(boxes: Any) -> list[list[int]]:
    return sorted(boxes.tolist())


# The modes.


@pytest.mark.parametrize("switch", SWITCHES)
def test_modes_are_those_of_selective_search(switch: str) -> None:
    image = draw_scene(1)
    found = search(ours, image, switch)
    want = proposer.selective_search(image, SWITCHES[switch], max_boxes=0, channel_order="bgr")
    assert found.tolist() == want.xywh().tolist()
    assert found.dtype == np.int32 and found.flags.c_contiguous and found.flags.writeable
    assert len(set(map(tuple, found.tolist()))) == len(found)


@pytest.mark.parametrize(
    "switch, args, k, sigma",
    [
        ("switchToSingleStrategy", (100, 0.5), [100], 0.5),
        ("switchToSelectiveSearchFast", (80, 40, 1.5), [80, 120, 160], 1.5),
        ("switchToSelectiveSearchQuality", (80, 70, 0), [80, 150, 220, 290, 360], 0.001),
    ],
)
def test_modes_with_parameters(switch: str, args: tuple[Any, ...], k: list[float], sigma: float) -> None:
    image = draw_scene(2)
    want = proposer.selective_search(image, SWITCHES[switch], 0, channel_order="bgr", k=k, sigma=sigma)
    assert search(ours, image, switch, *args).tolist() == want.xywh().tolist()


def test_parameters_by_name() -> None:
    image = draw_scene(3)
    switch = "switchToSelectiveSearchFast"
    by_name = search(ours, image, switch, sigma=1.0, inc_k=np.int64(30), base_k=90)
    assert by_name.tolist() == search(ours, image, switch, 90, 30, 1).tolist()


def test_result_does_not_depend_on_threads() -> None:
    cv = importlib.import_module("proposer.cv2")
    image = draw_scene(4)
    want = search(ours, image, "switchToSelectiveSearchFast").tolist()
    try:
        for n in (0, 1, 3):
            cv.setNumThreads(n)
            assert search(ours, image, "switchToSelectiveSearchFast").tolist() == want
    finally:
        cv.setNumThreads(-1)


@pytest.mark.parametrize(
    "layout",
    [
        np.asfortranarray,
        lambda a: np.ascontiguousarray(a[::-1])[::-1],
        lambda a: np.ascontiguousarray(a[:, ::-1])[:, ::-1],
        lambda a: np.ascontiguousarray(a[..., ::-1])[..., ::-1],
        lambda a: np.repeat(a, 2, axis=1)[:, ::2],
        lambda a: np.dstack([a, np.arange(a.shape[0] * a.shape[1]).reshape(a.shape[:2]).astype(np.uint8)]),
        lambda a: a.view(type("Subclass", (np.ndarray,), {})),
    ],
    ids=["fortran", "rows", "columns", "channels", "steps", "ignored channel", "subclass"],
)
def test_layouts(layout: Any) -> None:
    image = draw_scene(5)
    image.flags.writeable = False
    assert search(ours, layout(image)).tolist() == search(ours, image).tolist()


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (2, 2), (40, 900), (900, 40)])
def test_shapes(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    for switch in SWITCHES:
        assert [0, 0, shape[1], shape[0]] in search(ours, image, switch).tolist()
    assert [0, 0, shape[1], shape[0]] in search(ours, np.broadcast_to(np.uint8(7), image.shape)).tolist()


# Combinations.


def given_spaces(cv2: Any, image: NDArray[np.uint8]) -> list[Any]:
    hsv, gray = cv2.cvtColor(image, cv2.COLOR_BGR2HSV), cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    return [hsv, cv2.cvtColor(image, cv2.COLOR_BGR2Lab), gray, hsv[:, :, 0], np.dstack([image[:, :, 2:0:-1], gray])]


def test_gray_image_is_the_color_space_i() -> None:
    gray = draw_scene(6)[:, :, 1]
    want = proposer.selective_search(
        gray, "opencv-fast", 0, colors="I", k=[100, 200], measures=["CTSF", "F"], unions=0, joins=0
    )
    strategies = [multiple(ours, "CTSF"), multiple(ours, "F")]
    for image in (gray, gray[:, :, None]):
        found = combined(ours, [image], [(0.8, 100, 100), (0.8, 200, 100)], strategies)
        assert found.tolist() == want.xywh().tolist()


def test_color_image_is_used_as_it_is() -> None:
    image = draw_scene(7)
    want = proposer.selective_search(image, "opencv-fast", 0, channel_order="bgr", colors="RGB", k=150, measures="CTS")
    assert combined(ours, [image], [(0.8, 150)], [multiple(ours, "CTS")]).tolist() == want.xywh().tolist()


def test_boxes_of_a_product_are_those_of_its_parts() -> None:
    images = [draw_scene(8), draw_scene(9)[:, :, 0]]
    segmentations = [(0.5, 100, 20), (1.2, 300, 60)]
    measures = ["C", "TSF"]
    parts = {
        tuple(box)
        for image in images
        for g in segmentations
        for m in measures
        for box in combined(ours, [image], [g], [multiple(ours, m)]).tolist()
    }
    found = combined(ours, images, segmentations, [multiple(ours, m) for m in measures])
    assert sorted(map(tuple, found.tolist())) == sorted(parts)


def test_images_are_added_to_those_of_a_mode() -> None:
    image = draw_scene(10)
    s = ours.createSelectiveSearchSegmentation()
    s.setBaseImage(image)
    s.switchToSingleStrategy()
    s.addImage(image[:, :, 1])
    gray = combined(ours, [image[:, :, 1]], [(0.8, 200, 100)], [multiple(ours, "CTSF")])
    want = {*map(tuple, search(ours, image).tolist()), *map(tuple, gray.tolist())}
    assert set(map(tuple, s.process().tolist())) == want


def test_repeated_parts_do_not_count() -> None:
    image, g = draw_scene(11), (0.8, 150, 50)
    once = combined(ours, [image], [g], [multiple(ours, "CS")]).tolist()
    assert combined(ours, [image], [g, g], [multiple(ours, "CS"), multiple(ours, "SC")]).tolist() == once


def weighted(*parts: tuple[Any, Any]) -> Any:
    m = ours.createSelectiveSearchSegmentationStrategyMultiple()
    for strategy, weight in parts:
        m.addStrategy(strategy, weight)
    return m


def test_weights() -> None:
    image, g = draw_scene(12), (0.8, 100, 20)
    color, size, fill = (multiple(ours, m) for m in "CSF")

    def find(strategy: Any) -> Any:
        return combined(ours, [image], [g], [strategy]).tolist()

    want = proposer.selective_search(
        image, "opencv-fast", 0, channel_order="bgr", colors="RGB", k=100, min_size=20, measures="C0.5S"
    )
    assert find(weighted((color, 2), (size, 4))) == want.xywh().tolist()
    assert find(weighted((color, 1), (fill, 0))) == find(color)
    assert find(weighted((weighted((color, 3)), 1), (weighted((size, 1), (fill, 1)), 1))) == find(
        weighted((color, 2), (size, 1), (fill, 1))
    )
    assert find(weighted((color, 1), (size, 1), (color, 1))) == find(weighted((color, 1), (size, 0.5)))
    assert find(color) != find(size)


def test_parameters_may_change_after_they_are_added() -> None:
    image = draw_scene(13)
    s, g = ours.createSelectiveSearchSegmentation(), ours.createGraphSegmentation()
    m = ours.createSelectiveSearchSegmentationStrategyMultiple(multiple(ours, "C"))
    s.addImage(image)
    s.addGraphSegmentation(g)
    s.addStrategy(m)
    g.setSigma(1)
    g.setK(80)
    g.setMinSize(30)
    m.clearStrategies()
    m.addStrategy(multiple(ours, "F"), 0.5)
    assert s.process().tolist() == combined(ours, [image], [(1.0, 80, 30)], [multiple(ours, "F")]).tolist()


# States.


def test_nothing_to_process() -> None:
    image = draw_scene(14)
    s = ours.createSelectiveSearchSegmentation()
    for found in (s.process(), combined(ours, [], [()], [multiple(ours, "C")]), combined(ours, [image], [], [])):
        assert found.shape == (0, 4) and found.dtype == np.int32
    s.setBaseImage(image)
    assert len(s.process()) == 0
    s.switchToSingleStrategy()
    assert len(s.process()) > 0
    for clear in ("clearImages", "clearGraphSegmentations", "clearStrategies"):
        s.switchToSingleStrategy()
        getattr(s, clear)()
        assert len(s.process()) == 0


def test_base_image_counts_when_the_mode_is_chosen() -> None:
    first, second = draw_scene(15), draw_scene(16, 90, 130)
    want = search(ours, first).tolist()
    s = ours.createSelectiveSearchSegmentation()
    array = first.copy()
    s.setBaseImage(array)
    s.switchToSingleStrategy()
    array[:] = 0
    assert s.process().tolist() == want
    s.setBaseImage(second)
    assert s.process().tolist() == want, "the mode was not chosen again"
    s.switchToSingleStrategy()
    assert s.process().tolist() == search(ours, second).tolist()


def test_modes_replace_what_was_added() -> None:
    image = draw_scene(17)
    s = ours.createSelectiveSearchSegmentation()
    s.setBaseImage(image)
    s.addImage(draw_scene(18, 50, 60))
    s.addGraphSegmentation(ours.createGraphSegmentation(2, 1000))
    s.addStrategy(multiple(ours, "F"))
    s.switchToSelectiveSearchQuality()
    s.switchToSelectiveSearchFast()
    s.clear()
    assert s.process().tolist() == search(ours, image, "switchToSelectiveSearchFast").tolist()
    assert s.process().tolist() == s.process().tolist()


def test_objects_can_be_pickled() -> None:
    s = ours.createSelectiveSearchSegmentation()
    s.setBaseImage(draw_scene(19))
    s.switchToSelectiveSearchFast()
    assert pickle.loads(pickle.dumps(s)).process().tolist() == s.process().tolist()


def test_objects_of_threads_are_independent() -> None:
    images = [draw_scene(20 + i) for i in range(4)]
    want = [search(ours, image).tolist() for image in images]
    found: dict[int, Any] = {}

    def work(i: int) -> None:
        found[i] = [search(ours, images[i]).tolist() for _ in range(3)]

    workers = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [found[i] for i in range(4)] == [[w] * 3 for w in want]


# Errors.


def add_five_times(image: Any) -> Any:
    g = [(0.8, 100 + i) for i in range(52)]
    return combined(ours, [image] * 5, g, [multiple(ours, "C")])


def itself() -> Any:
    m = ours.createSelectiveSearchSegmentationStrategyMultiple(multiple(ours, "C"))
    m.addStrategy(m, 1)
    return m


IMAGE = draw_scene(30, 24, 32)
ERRORS: list[tuple[Any, str]] = [
    (lambda: search(ours, None), r"^setBaseImage: image is None: want a NumPy array; cv2.imread returns None"),
    (lambda: search(ours, "a.jpg"), r"^setBaseImage: image of type str: want a NumPy array$"),
    (lambda: search(ours, IMAGE.tolist()), r"^setBaseImage: image of type list: want a NumPy array$"),
    (lambda: search(ours, IMAGE.astype(np.float32)), r"^setBaseImage: image of type float32: want uint8$"),
    (lambda: search(ours, IMAGE.astype(np.uint16)), r"^setBaseImage: image of type uint16: want uint8$"),
    (lambda: search(ours, IMAGE > 9), r"^setBaseImage: image of type bool: want uint8$"),
    (lambda: search(ours, IMAGE[0, 0]), r"^setBaseImage: image of shape \(3,\): want \(H, W\) or \(H, W, channels\)$"),
    (lambda: search(ours, IMAGE[None]), r"^setBaseImage: image of shape \(1, 24, 32, 3\): want"),
    (lambda: search(ours, IMAGE[:0]), r"^setBaseImage: image of shape \(0, 32, 3\): want sides above 0"),
    (lambda: search(ours, IMAGE[..., :2]), r"^setBaseImage: image of shape \(24, 32, 2\): want 1, 3 or 4 channels$"),
    (lambda: search(ours, IMAGE[..., 0]), r"^switchToSingleStrategy: base image of shape \(24, 32\): want \(H, W, 3\)"),
    (lambda: search(ours, IMAGE[..., :1]), r"^switchToSingleStrategy: base image of shape \(24, 32, 1\): want"),
    (
        lambda: search(ours, np.broadcast_to(np.uint8(0), (1, 2**31, 3))),
        r"^setBaseImage: image of shape \(1, 2147483648, 3\): want sides above 0 that fit 32 bits$",
    ),
    (lambda: search(ours, np.broadcast_to(np.uint8(0), (2, 70000, 3))), r"^process: too large: got 70000 pixels w"),
    (lambda: ours.createSelectiveSearchSegmentation().switchToSingleStrategy(), r"^switchToSingleStrategy: no base im"),
    (lambda: combined(ours, [np.dstack([IMAGE, IMAGE])], [], []), r"^addImage: image of shape \(24, 32, 6\): want"),
    (lambda: search(ours, IMAGE, "switchToSingleStrategy", 0), r"^switchToSingleStrategy: k 0: want a number"),
    (lambda: search(ours, IMAGE, "switchToSingleStrategy", -5), r"^switchToSingleStrategy: k -5: want"),
    (lambda: search(ours, IMAGE, "switchToSingleStrategy", 10**7), r"k 1e\+07: want a number above 0, at most 1e\+06$"),
    (lambda: search(ours, IMAGE, "switchToSelectiveSearchFast", 9, 0), r"^switchToSelectiveSearchFast: inc_k 0: want"),
    (lambda: search(ours, IMAGE, "switchToSelectiveSearchFast", 9, -1), r"^switchToSelectiveSearchFast: inc_k -1:"),
    (lambda: search(ours, IMAGE, "switchToSelectiveSearchFast", 9, 10**6), r"base_k \+ 1 inc_k 1.00001e\+06: want"),
    (lambda: search(ours, IMAGE, "switchToSingleStrategy", 9, 17), r"^switchToSingleStrategy: sigma 17: want"),
    (lambda: search(ours, IMAGE, "switchToSingleStrategy", 9, float("nan")), r"^switchToSingleStrategy: sigma nan:"),
    (lambda: ours.createGraphSegmentation(k=0), r"^setK: k 0: want a number above 0"),
    (lambda: ours.createGraphSegmentation(min_size=2**31), r"^setMinSize: min_size 2147483648: want an integer of 32"),
    (lambda: ours.createGraphSegmentation().processImage(None), r"^processImage: image is None"),
    (lambda: ours.createGraphSegmentation().processImage(IMAGE > 9), r"^processImage: image of type bool: want"),
    (lambda: ours.createGraphSegmentation().processImage(np.full((2, 3), np.inf)), r"^processImage: .* with infinite"),
    (
        lambda: ours.createGraphSegmentation().processImage(np.broadcast_to(np.uint8(0), (1, 2, 1025))),
        r"^processImage: image of shape \(1, 2, 1025\): want .* pixels and 1024 channels$",
    ),
    (
        lambda: ours.createGraphSegmentation().processImage(np.broadcast_to(np.uint8(0), (60000, 60000))),
        r"^processImage: image of shape \(60000, 60000\): want sides of at most 65535, 50000000 pixels",
    ),
    (lambda: combined(ours, [IMAGE, IMAGE[1:]], [()], [multiple(ours, "C")]), r"^process: image 1 of shape \(23,"),
    (lambda: add_five_times(IMAGE), r"^process: 5 images, 52 graph .*: want at most 256 combinations, not 260$"),
    (lambda: combined(ours, [IMAGE] * 129, [()], [multiple(ours, "C")]), r"^process: 129 images: want at most 128$"),
    (lambda: combined(ours, [IMAGE], [()], [itself()]), r"^process: \w+Multiple that contains itself: want"),
    (lambda: combined(ours, [IMAGE], [()], [weighted()]), r"^process: \w+Multiple without strategies: want"),
    (lambda: combined(ours, [IMAGE], [()], [weighted((multiple(ours, "C"), 0))]), r"^process: \w+ with weights of 0:"),
    (lambda: weighted((multiple(ours, "C"), -1)), r"^addStrategy: weight -1: want 0 or more$"),
    (lambda: weighted((multiple(ours, "C"), float("inf"))), r"^addStrategy: weight inf: want 0 or more$"),
    (lambda: multiple(ours, "C").setImage(IMAGE, IMAGE, IMAGE), r"^\w+Color.setImage: not supported"),
    (lambda: multiple(ours, "CT").get(0, 1), r"^\w+Multiple.get: not supported"),
    (lambda: multiple(ours, "F").merge(0, 1), r"^\w+Fill.merge: not supported"),
    (lambda: combined(ours, [IMAGE], [()], [ours.SelectiveSearchSegmentationStrategy()]), r"^process: strategy of"),
]


@pytest.mark.parametrize("call, message", ERRORS, ids=[message for _, message in ERRORS])
def test_errors(call: Any, message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        call()
    err: Any = caught.value
    assert isinstance(caught.value, proposer.Error)
    assert err.msg == str(err) and err.code == -5
    assert repr(pickle.loads(pickle.dumps(err))) == repr(err)


@pytest.mark.parametrize(
    "call",
    [
        lambda: search(ours, IMAGE, "switchToSingleStrategy", 200.0),
        lambda: search(ours, IMAGE, "switchToSingleStrategy", True),
        lambda: search(ours, IMAGE, "switchToSingleStrategy", 200, "x"),
        lambda: search(ours, IMAGE, "switchToSelectiveSearchFast", "150"),
        lambda: ours.createGraphSegmentation("x"),
        lambda: ours.createGraphSegmentation(min_size=3.0),
        lambda: ours.createSelectiveSearchSegmentation().addStrategy(ours.createGraphSegmentation()),
        lambda: ours.createSelectiveSearchSegmentation().addGraphSegmentation(multiple(ours, "C")),
        lambda: ours.createSelectiveSearchSegmentationStrategyMultiple(1),
        lambda: weighted((multiple(ours, "C"), "a")),
    ],
)
def test_arguments_of_wrong_types(call: Any) -> None:
    with pytest.raises(TypeError, match="want"):
        call()


# Graph segmentation.


def test_graph_segmentation_parameters(cv2: Any) -> None:
    for module in (ours, cv2.ximgproc.segmentation):
        g = module.createGraphSegmentation()
        assert (g.getSigma(), g.getK(), g.getMinSize()) == (0.5, 300.0, 100)
        g.setSigma(-1)
        g.setK(0.1)
        g.setMinSize(-3)
        assert (g.getSigma(), g.getK(), g.getMinSize()) == (0.001, float(np.float32(0.1)), -3)
        g = module.createGraphSegmentation(sigma=1, min_size=20, k=50)
        assert (g.getSigma(), g.getK(), g.getMinSize()) == (1.0, 50.0, 20)
        assert (g.empty(), g.getDefaultName()) == (False, "my_object")


def test_labels() -> None:
    image = draw_scene(31)
    labels = ours.createGraphSegmentation(0.8, 200, 30).processImage(image)
    assert labels.dtype == np.int32 and labels.shape == image.shape[:2] and labels.flags.writeable
    values, first, sizes = np.unique(labels, return_index=True, return_counts=True)
    assert values.tolist() == list(range(len(values))) and (np.diff(first) > 0).all()
    assert sizes.min() >= 30


@pytest.mark.parametrize(
    "convert",
    [
        lambda image: image,
        lambda image: image[:, :, 0],
        lambda image: image[:, :, :1],
        lambda image: image[:, :, :2],
        lambda image: np.dstack([image, image[::-1, :, 0]]),
        lambda image: image[::-1, ::-2],
        lambda image: image.astype(np.float32) / 2,
        lambda image: image * 0.7,
        lambda image: image.astype(np.uint16) * 3,
        lambda image: image[:, :, 1].astype(np.int16) - 128,
        lambda image: image[:1],
        lambda image: image[:, :1],
        lambda image: image[:1, :1],
    ],
    ids=["color", "gray", "1", "2", "4", "steps", "float32", "float64", "uint16", "int16", "row", "column", "pixel"],
)
def test_labels_are_those_of_opencv_up_to_rounding(cv2: Any, convert: Any) -> None:
    indices = []
    for seed, parameters in enumerate([(), (0.8, 100, 20), (2, 50, 5), (0, 500, 0), (10, 10, 1)]):
        image = convert(draw_scene(seed))
        want = cv2.ximgproc.segmentation.createGraphSegmentation(*parameters).processImage(np.ascontiguousarray(image))
        labels = ours.createGraphSegmentation(*parameters).processImage(image)
        assert (type(labels), labels.dtype, labels.shape) == (type(want), want.dtype, want.shape)
        indices.append(adjusted_rand_index(want, labels) if want.max() > 0 else float((want == labels).all()))
    assert min(indices) >= 0.9 and np.mean(indices) >= 0.98, indices


def test_labels_are_written_to_the_given_array() -> None:
    image, g = draw_scene(32), ours.createGraphSegmentation()
    want = g.processImage(image)
    dst = np.empty(image.shape[:2], np.int32)
    assert g.processImage(image, dst) is dst and (dst == want).all()
    part = np.empty((image.shape[0] + 2, image.shape[1] * 2), np.int32)[1:-1, ::2]
    assert g.processImage(image, dst=part) is part and (part == want).all()
    for other in (dst[1:], dst.astype(np.int64)):
        assert (g.processImage(image, other) == want).all()


# Beside OpenCV.


def iou(a: NDArray[np.int32], b: NDArray[np.int32]) -> Any:
    """Return the IoU of each of the boxes a with each of b."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum((a[:, :2] + a[:, 2:])[:, None], (b[:, :2] + b[:, 2:])[None])
    intersection = np.clip(high - low, 0, None).prod(axis=2)
    return intersection / (a[:, 2:].prod(axis=1)[:, None] + b[:, 2:].prod(axis=1)[None] - intersection)


def adjusted_rand_index(a: NDArray[np.int32], b: NDArray[np.int32]) -> float:
    def pairs(counts: Any) -> float:
        return float((counts * (counts - 1.0) / 2).sum())

    both = np.unique(a.ravel().astype(np.int64) * (int(b.max()) + 1) + b.ravel(), return_counts=True)[1]
    together, in_a, in_b = pairs(both), pairs(np.bincount(a.ravel())), pairs(np.bincount(b.ravel()))
    expected = in_a * in_b / pairs(np.array([a.size]))
    return (together - expected) / ((in_a + in_b) / 2 - expected)


@pytest.mark.parametrize(
    "switch, near, equal", [("switchToSingleStrategy", 0.7, 0.15), ("switchToSelectiveSearchFast", 0.85, 0.25)]
)
def test_boxes_are_near_those_of_opencv(cv2: Any, switch: str, near: float, equal: float) -> None:
    overlaps = []
    for seed in range(4):
        image = draw_scene(seed, 180, 240, 8)
        a, b = search(cv2.ximgproc.segmentation, image, switch), search(ours, image, switch)
        assert (type(a), a.dtype, a.ndim, a.shape[1]) == (type(b), b.dtype, b.ndim, b.shape[1])
        overlaps.append(iou(a, b).max(axis=1))
    overlap = np.concatenate(overlaps)
    assert (overlap >= 0.7).mean() >= near
    assert (overlap == 1).mean() >= equal


@pytest.mark.parametrize("seed", range(30))
def test_states_are_those_of_opencv(cv2: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    image = draw_scene(seed, 24, 32, 3)
    steps: list[Any] = [
        lambda module, s: s.setBaseImage(image),
        lambda module, s: s.switchToSingleStrategy(60),
        lambda module, s: s.switchToSelectiveSearchFast(30, 20, 0.5),
        lambda module, s: s.addImage(image),
        lambda module, s: s.addImage(np.ascontiguousarray(image[:, :, 0])),
        lambda module, s: s.addGraphSegmentation(module.createGraphSegmentation(0.5, 50, 5)),
        lambda module, s: s.addStrategy(multiple(module, "C")),
        lambda module, s: s.addStrategy(multiple(module, "CTSF")),
        lambda module, s: s.clearImages(),
        lambda module, s: s.clearGraphSegmentations(),
        lambda module, s: s.clearStrategies(),
        lambda module, s: s.clear(),
    ]
    # The first is the base image: without it, OpenCV's modes fail after they have removed everything.
    chosen = [0, *rng.integers(0, len(steps), 40)]
    kept = ours.createSelectiveSearchSegmentation()
    for end in range(len(chosen)):
        outcome = run_step(ours, kept, steps[chosen[end]])
        if end % 4 > 0:
            continue
        # A new object each time, as those of OpenCV keep the descriptors of other images.
        fresh = cv2.ximgproc.segmentation.createSelectiveSearchSegmentation()
        outcomes = [run_step(cv2.ximgproc.segmentation, fresh, steps[i]) for i in chosen[: end + 1]]
        assert outcomes[-1] == outcome
        assert (len(fresh.process()) > 0) == (len(kept.process()) > 0)


def run_step(module: Any, s: Any, step: Any) -> str:
    try:
        step(module, s)
    except error:
        return "error"
    return ""


def test_names_are_those_of_opencv(cv2: Any) -> None:
    real = cv2.ximgproc.segmentation
    names = [name for name in dir(real) if not name.startswith("_")]
    assert sorted(ours.__all__) == names
    unsupported = {"read", "save", "write"}
    for name in names:
        if isinstance(getattr(real, name), type):
            methods = {m for m in dir(getattr(real, name)) if not m.startswith("_")} - unsupported
            assert methods <= set(dir(getattr(ours, name))), name


def test_other_names_are_those_of_opencv(cv2: Any) -> None:
    module = importlib.import_module("proposer.cv2")
    for name in ("imread", "rectangle", "COLOR_BGR2RGB", "__version__", "error", "dnn"):
        assert getattr(module, name) is getattr(cv2, name), name
    assert module.ximgproc.createSuperpixelSLIC is cv2.ximgproc.createSuperpixelSLIC
    assert {"imread", "ximgproc", "setNumThreads"} <= set(dir(module))
    assert not hasattr(module, "no_such_name") and not hasattr(module, "__wrapped__")
    with pytest.raises(AttributeError, match="no_such_name"):
        module.ximgproc.no_such_name  # noqa: B018


def test_module_may_be_assigned_to_that_of_opencv(cv2: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    real = cv2.ximgproc
    monkeypatch.setattr(cv2, "ximgproc", importlib.import_module("proposer.cv2").ximgproc)
    assert cv2.ximgproc.segmentation is ours
    assert cv2.ximgproc.createSuperpixelSLIC is real.createSuperpixelSLIC


def test_number_of_threads_is_that_of_opencv(cv2: Any) -> None:
    module = importlib.import_module("proposer.cv2")
    try:
        module.setNumThreads(1)
        assert module.getNumThreads() == cv2.getNumThreads() == 1
        with pytest.raises(TypeError, match="nthreads = 2.5: want an integer"):
            module.setNumThreads(2.5)
    finally:
        module.setNumThreads(-1)
    module.setUseOptimized(True)
    assert module.useOptimized() == cv2.useOptimized()


def run_python(*args: str, **variables: str) -> subprocess.CompletedProcess[str]:
    # The paths of this process, so that the package is the same one.
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p), **variables}
    return subprocess.run([sys.executable, *args], capture_output=True, text=True, env=env, timeout=300, check=False)


@pytest.mark.parametrize(
    "content, message",
    [
        ("raise ModuleNotFoundError('No module named cv2', name='cv2')", "it is not installed"),
        ("raise ImportError('libGL.so.1: cannot open')", "it cannot be imported: libGL.so.1: cannot open"),
    ],
)
def test_without_opencv(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "cv2.py").write_text(content)
    program = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
import numpy as np, proposer.cv2 as cv2
cv2.setUseOptimized(True)
cv2.setNumThreads(2)
assert cv2.getNumThreads() == 2 and cv2.useOptimized() and "ximgproc" in dir(cv2)
s = cv2.ximgproc.segmentation.createSelectiveSearchSegmentation()
try:
    s.switchToSingleStrategy()
except cv2.error as err:
    assert "no base image" in str(err)
s.setBaseImage(np.zeros((20, 30, 3), np.uint8))
s.switchToSingleStrategy()
assert s.process().tolist() == [[0, 0, 30, 20]]
for call in (lambda: cv2.imread, lambda: cv2.ximgproc.createSuperpixelSLIC):
    try:
        call()
    except AttributeError as err:
        print(err)
"""
    run = run_python("-c", program)
    assert run.stderr == ""
    assert run.stdout.splitlines() == [
        f"{name} needs OpenCV's package cv2, and {message}; "
        "proposer.cv2 itself has selective search and graph segmentation"
        for name in ("cv2.imread", "cv2.ximgproc.createSuperpixelSLIC")
    ]


def test_opencv_without_contributed_modules(tmp_path: Path) -> None:
    (tmp_path / "cv2.py").write_text("class error(Exception): pass\ndef imread(name): return name\n")
    program = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
import proposer.cv2 as cv2
assert cv2.imread("a") == "a"
cv2.ximgproc.segmentation.createSelectiveSearchSegmentation()
cv2.ximgproc.createSuperpixelSLIC
"""
    run = run_python("-c", program)
    assert "cv2.ximgproc.createSuperpixelSLIC needs an OpenCV with its contributed modules" in run.stderr


# Programs.


@pytest.mark.parametrize(
    "script, keys, args, windows",
    [
        ("opencv_sample.py", "ddaq", ["{image}", "single"], 4),
        ("opencv_sample.py", "q", ["{image}", "fast"], 1),
        ("learnopencv.py", "mlq", ["{image}", "f"], 3),
        ("pyimagesearch.py", "n" * 1000, ["--image", "{image}", "--method", "fast"], -1),
        ("rcnn_regions.py", "", ["{image}"], 0),
        ("combined.py", " ", ["{image}"], 1),
    ],
    ids=["sample single", "sample fast", "learnopencv", "pyimagesearch", "rcnn", "combined"],
)
def test_programs_run_with_the_import_changed(
    cv2: Any, tmp_path: Path, script: str, keys: str, args: list[str], windows: int
) -> None:
    source = (SCRIPTS / script).read_text()
    changed = re.sub(r"^import cv2$", "import proposer.cv2 as cv2", source, flags=re.M)
    changed = re.sub(r"^(import|from) cv2\b", r"\1 proposer.cv2", changed, flags=re.M)
    assert changed != source
    (tmp_path / script).write_text(changed)
    image = tmp_path / "scene.png"
    cv2.imwrite(str(image), draw_scene(40))
    args = [arg.format(image=image) for arg in args]

    counts = []
    for path in (SCRIPTS / script, tmp_path / script):
        run = run_python(str(SCRIPTS / "headless.py"), keys, str(path), *args)
        assert run.returncode == 0, run.stderr
        boxes = re.search(r"^boxes: (\d+)$", run.stdout, re.M)
        assert boxes, run.stdout
        counts.append(int(boxes[1]))
        shown = run.stdout.count("window: Output")
        assert shown == (windows if windows >= 0 else -(-counts[-1] // 100))
    assert counts[1] >= counts[0] / 2, "the number of boxes differs too much"
