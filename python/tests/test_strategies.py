"""Tests of the library's function for given strategies, with arguments that no class of proposer.cv2 passes."""

from __future__ import annotations

import ctypes
from typing import Any, Optional

import numpy as np
import proposer
import pytest
from numpy.typing import NDArray
from proposer import _library
from proposer._image import Pixels
from proposer._library import ImageStruct, LabelsStruct, ResultStruct, SamplesStruct, StrategyStruct

IMAGE = np.random.default_rng(1).integers(0, 256, (30, 40, 3), dtype=np.uint8)
CTSF = (1.0, 1.0, 1.0, 1.0)


def strategy(space: Optional[bytes] = b"HSV", image: int = 0, min_size: int = 20, k: float = 100, *rest: float) -> Any:
    return StrategyStruct(space, image, min_size, k, *(rest or (0.8, *CTSF)))


def search(
    strategies: list[Any],
    images: Any = (),
    options: bytes = b"",
    image: Any = IMAGE,
    strategy_count: Optional[int] = None,
    image_count: Optional[int] = None,
) -> list[list[int]]:
    pixels = [Pixels(i) for i in images or ()]
    image_array = (ImageStruct * len(pixels))(*(p.struct for p in pixels)) if images is not None else None
    strategy_array = (StrategyStruct * len(strategies))(*strategies) if strategies else None
    result = ctypes.POINTER(ResultStruct)()
    try:
        _library.call(
            "proposer_search_strategies",
            None if image is None else Pixels(image).struct,
            image_array,
            len(pixels) if image_count is None else image_count,
            strategy_array,
            len(strategies) if strategy_count is None else strategy_count,
            options,
            ctypes.byref(result),
        )
        r = result.contents
        boxes: list[list[int]] = np.ctypeslib.as_array(r.boxes, (r.count, 4)).tolist()
        return boxes
    finally:
        if result:
            _library.library().proposer_result_free(result)


def test_strategies_are_those_of_the_options() -> None:
    two = [strategy(b"Lab"), strategy(b"lab", 9, 5, 10, 0, 1, 0, 0.5, 0)]
    assert len(search(two, options=b"mode=fast seed=3 max=5")) == 5
    want = proposer.selective_search(IMAGE, colors="Lab", k=100, min_size=20, measures="CTSF", max_boxes=0)
    assert search([strategy(b"Lab")]) == want.boxes.tolist()
    opencv = proposer.selective_search(IMAGE, "opencv-fast", 0, colors="Lab", k=100, min_size=20, measures="CTSF")
    assert search([strategy(b"Lab")], options=b"mode=opencv-fast") == opencv.boxes.tolist()


def test_min_size_of_0_stands_for_k() -> None:
    assert search([strategy(min_size=0)]) == search([strategy(min_size=100)])


@pytest.mark.parametrize(
    "arguments, kind, message",
    [
        ({"strategies": []}, proposer.OptionError, "strategy_count 0: want 1 to 256"),
        ({"strategies": [], "strategy_count": 1}, proposer.OptionError, "strategies: NULL"),
        ({"strategies": [strategy()], "strategy_count": -1}, proposer.OptionError, "strategy_count -1: want 1 to 256"),
        ({"strategies": [strategy()], "strategy_count": 257}, proposer.OptionError, "strategy_count 257: want 1 to"),
        ({"strategies": [strategy()] * 2}, proposer.OptionError, "strategy 1 equals strategy 0"),
        ({"strategies": [strategy(b"XYZ")]}, proposer.OptionError, 'strategies.0..space: color space "XYZ": want'),
        ({"strategies": [strategy(b"")]}, proposer.OptionError, 'color space "": want one of'),
        ({"strategies": [strategy(None)]}, proposer.OptionError, "strategies.0..image 0: want the index of one of 0"),
        ({"strategies": [strategy(None, -1)], "images": [IMAGE]}, proposer.OptionError, "image -1: want the index"),
        ({"strategies": [strategy(None, 1)], "images": [IMAGE]}, proposer.OptionError, "image 1: want the index of"),
        ({"strategies": [strategy(min_size=-1)]}, proposer.OptionError, "strategy 0: min size -1: want 0 or more"),
        ({"strategies": [strategy(k=0)]}, proposer.OptionError, "strategy 0: k = 0: want"),
        ({"strategies": [strategy(k=float("nan"))]}, proposer.OptionError, "k = NaN: want"),
        ({"strategies": [strategy(b"I", 0, 1, 1, -1, *CTSF)]}, proposer.OptionError, "sigma -1: want a number in"),
        ({"strategies": [strategy(b"I", 0, 1, 1, 1, 0, 0, 0, 0)]}, proposer.OptionError, "all weights are 0"),
        ({"strategies": [strategy(b"I", 0, 1, 1, 1, 2, 0, 0, 0)]}, proposer.OptionError, "weight C = 2: want"),
        ({"strategies": [strategy()], "images": None, "image_count": 1}, proposer.OptionError, "images: NULL"),
        ({"strategies": [strategy()], "image_count": -1}, proposer.OptionError, "image_count -1: want 0 to 128"),
        ({"strategies": [strategy()], "image_count": 129}, proposer.OptionError, "image_count 129: want 0 to 128"),
        ({"strategies": [strategy()], "images": [IMAGE[1:]]}, proposer.ImageError, "images.0. of 40×29 pixels: want"),
        (
            {"strategies": [strategy()], "images": [IMAGE[..., 0], np.dstack([IMAGE, IMAGE])[..., :4]]},
            proposer.ImageError,
            "images.1. with channels 4: want 1 or 3",
        ),
        ({"strategies": [strategy()], "image": None}, proposer.ImageError, "image: NULL"),
        ({"strategies": [strategy()], "options": b"max-side=9"}, proposer.OptionError, 'max_side "9": want 0 for a'),
        ({"strategies": [strategy()], "options": b"mode=rcnn"}, proposer.OptionError, 'resize_width "500": want 0 for'),
        ({"strategies": [strategy()], "options": b"max-pixels=9"}, proposer.LimitError, "1200 pixels"),
    ],
)
def test_errors(arguments: dict[str, Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        search(**arguments)


def test_random_arguments_do_not_crash() -> None:
    rng = np.random.default_rng(2)
    numbers = [0.0, -1.0, 0.5, 1.0, 2.0, 100.0, 1e6, 1e300, float("inf"), float("nan"), -1e-300]
    sizes = [0, 1, 20, -1, 2**31 - 1, -(2**31)]
    images: list[NDArray[np.uint8]] = [IMAGE, IMAGE[:, :, 0], IMAGE[::-1, ::-1], IMAGE[:1]]
    found = 0
    for _ in range(500):
        strategies = [
            StrategyStruct(
                rng.choice([b"HSV", b"I", b"\xff", None]),  # type: ignore[arg-type]
                int(rng.choice([0, 1, 2, *sizes])),
                int(rng.choice(sizes)),
                *(rng.choice(numbers, p=None) for _ in range(6)),
            )
            for _ in range(rng.integers(1, 3))
        ]
        chosen = [images[i] for i in rng.integers(0, 4, rng.integers(0, 3))]
        try:
            found += len(search(strategies, chosen)) > 0
        except proposer.Error as err:
            assert "internal" not in str(err)
    valid = search([strategy(None, i) for i in range(3)], images[:3])
    assert [0, 0, 40, 30] in valid


def segment(struct: Optional[SamplesStruct], k: float, sigma: float, min_size: int) -> int:
    result = ctypes.POINTER(LabelsStruct)()
    try:
        _library.call("proposer_graph_segmentation", struct, k, sigma, min_size, 0, ctypes.byref(result))
        return int(result.contents.count)
    finally:
        if result:
            _library.library().proposer_labels_free(result)


def samples(kind: int = 0, width: int = 40, channels: int = 3) -> SamplesStruct:
    return SamplesStruct(IMAGE.ctypes.data, width, 30, channels, kind, 0, 0, 0)


@pytest.mark.parametrize(
    "struct, k, sigma, kind, message",
    [
        (None, 1, 1, proposer.ImageError, "image: NULL"),
        (samples(2), 1, 1, proposer.ImageError, "image with type 2: want"),
        (samples(0, 0), 1, 1, proposer.ImageError, "image of 0×30 pixels"),
        (samples(0, 40, 0), 1, 1, proposer.ImageError, "image with channels 0"),
        (samples(), 1, 0, proposer.OptionError, "sigma 0: want a number above 0"),
        (samples(), 1, float("nan"), proposer.OptionError, "sigma NaN: want"),
        (samples(), 1, 1e9, proposer.OptionError, "sigma 1e.09: want"),
        (samples(), float("nan"), 1, proposer.OptionError, "k NaN: want a number"),
    ],
)
def test_errors_of_graph_segmentation(struct: Any, k: float, sigma: float, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        segment(struct, k, sigma, 1)


def test_extreme_parameters_of_graph_segmentation() -> None:
    for k in (0, -1, 1e-300, 1e300, float("inf"), float("-inf")):
        for sigma in (1e-9, 0.5, 1000):
            for min_size in (-(2**63), 0, 1, 2**63 - 1):
                assert segment(samples(), k, sigma, min_size) >= 1
