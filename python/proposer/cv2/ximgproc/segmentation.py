"""OpenCV's ``cv2.ximgproc.segmentation``: selective search and graph segmentation."""

from __future__ import annotations

import ctypes
import math
import numbers
from typing import Any, NamedTuple, NoReturn, Optional, Union

import numpy as np
import numpy.typing as npt

from proposer import _library
from proposer._image import MAX_PIXELS, Pixels
from proposer._library import ImageStruct, LabelsStruct, ResultStruct, SamplesStruct, StrategyStruct
from proposer.cv2._opencv import Error, integer, threads

__all__ = [
    "GraphSegmentation",
    "SelectiveSearchSegmentation",
    "SelectiveSearchSegmentationStrategy",
    "SelectiveSearchSegmentationStrategyColor",
    "SelectiveSearchSegmentationStrategyFill",
    "SelectiveSearchSegmentationStrategyMultiple",
    "SelectiveSearchSegmentationStrategySize",
    "SelectiveSearchSegmentationStrategyTexture",
    "createGraphSegmentation",
    "createSelectiveSearchSegmentation",
    "createSelectiveSearchSegmentationStrategyColor",
    "createSelectiveSearchSegmentationStrategyFill",
    "createSelectiveSearchSegmentationStrategyMultiple",
    "createSelectiveSearchSegmentationStrategySize",
    "createSelectiveSearchSegmentationStrategyTexture",
]

_Image = npt.NDArray[np.uint8]
_Labels = npt.NDArray[np.int32]
_Boxes = npt.NDArray[np.int32]

_MAX_K = 1e6
_MAX_SIGMA = 16.0
_MIN_SIGMA = 0.001  # what OpenCV takes for 0 and less
_MAX_INT = 2**31 - 1
_MAX_SIDE = 65_535
_MAX_CHANNELS = 1024
_MAX_STRATEGIES = 256
_MAX_IMAGES = 128


class _Algorithm:
    """The methods that all classes of OpenCV have."""

    def clear(self) -> None:
        """Do nothing, as in OpenCV."""

    def empty(self) -> bool:
        """Return False, as in OpenCV."""
        return False

    def getDefaultName(self) -> str:
        """Return the name that OpenCV returns."""
        return "my_object"


class GraphSegmentation(_Algorithm):
    """Graph-based segmentation (Felzenszwalb and Huttenlocher, 2004).

    `createGraphSegmentation` makes one with given parameters.
    """

    def __init__(self) -> None:
        self._sigma = 0.5
        self._k = 300.0
        self._min_size = 100

    def setSigma(self, sigma: float) -> None:
        """Set the smoothing in pixels, at most 16; 0 and less stand for 0.001."""
        self._sigma = _sigma("setSigma", sigma)

    def getSigma(self) -> float:
        """Return the smoothing in pixels."""
        return self._sigma

    def setK(self, k: float) -> None:
        """Set the scale, above 0 and at most 1e6: the larger, the larger are the regions."""
        self._k = _k("setK", "k", _number("k", k))

    def getK(self) -> float:
        """Return the scale, which is rounded to float32."""
        return self._k

    def setMinSize(self, min_size: int) -> None:
        """Set the smallest size of a region in pixels."""
        self._min_size = _int32("setMinSize", "min_size", min_size)

    def getMinSize(self) -> int:
        """Return the smallest size of a region in pixels."""
        return self._min_size

    def processImage(self, src: Any, dst: Optional[Any] = None) -> _Labels:
        """Segment an image.

        Parameters
        ----------
        src : ndarray
            The image, of shape (H, W) or (H, W, channels). As in OpenCV, the samples are integers or floats
            with values such as from 0 to 255, and the color space and the number of channels are the
            caller's choice.
        dst : ndarray of int32, optional
            An array of shape (H, W) to write the labels to. One of another type or shape is not used.

        Returns
        -------
        ndarray of int32
            The label of each pixel: from 0, without gaps, in the order of the first pixels.

        Notes
        -----
        The labels are those of OpenCV, up to rounding. They are computed in float64, while
        `SelectiveSearchSegmentation.process` segments as the modes of this package do: it rounds
        the differences of pixels to 1/128, which makes it faster.
        """
        image = _samples("processImage", src)
        shape = image.shape[:2]
        if not (isinstance(dst, np.ndarray) and dst.shape == shape and dst.dtype == np.int32 and dst.flags.writeable):
            dst = np.empty(shape, np.int32)
        samples = SamplesStruct(
            image.ctypes.data, shape[1], shape[0], image.shape[2], int(image.dtype != np.uint8), *image.strides
        )
        with _library.owned(LabelsStruct, "proposer_labels_free") as result:
            _call(
                "processImage", "proposer_graph_segmentation",
                samples, self._k, self._sigma, self._min_size, threads(), ctypes.byref(result),
            )  # fmt: skip
            dst[...] = np.ctypeslib.as_array(result.contents.labels, shape)
        return dst


class _Weights(NamedTuple):
    """Weights of the similarity measures."""

    color: float = 0.0
    texture: float = 0.0
    size: float = 0.0
    fill: float = 0.0


class SelectiveSearchSegmentationStrategy(_Algorithm):
    """How similar two regions are. The classes derived from it are the measures."""

    _name = "SelectiveSearchSegmentationStrategy"

    def _weights(self, parents: tuple[SelectiveSearchSegmentationStrategy, ...] = ()) -> _Weights:
        """Return the weights of the measures, of which a strategy in the parents consists."""
        raise Error("process", f"strategy of class {self._name}: want one of the classes derived from it")

    def setImage(self, img: Any, regions: Any, sizes: Any, image_id: int = -1) -> NoReturn:
        """Not supported: `SelectiveSearchSegmentation.process` describes the regions itself."""
        self._refuse("setImage")

    def get(self, r1: int, r2: int) -> NoReturn:
        """Not supported: `SelectiveSearchSegmentation.process` compares the regions itself."""
        self._refuse("get")

    def merge(self, r1: int, r2: int) -> NoReturn:
        """Not supported: `SelectiveSearchSegmentation.process` merges the regions itself."""
        self._refuse("merge")

    def _refuse(self, method: str) -> NoReturn:
        raise Error(
            f"{self._name}.{method}",
            "not supported by proposer: SelectiveSearchSegmentation.process compares and merges the regions itself",
        )


class SelectiveSearchSegmentationStrategyColor(SelectiveSearchSegmentationStrategy):
    """The similarity of the colors."""

    _name = "SelectiveSearchSegmentationStrategyColor"

    def _weights(self, parents: tuple[SelectiveSearchSegmentationStrategy, ...] = ()) -> _Weights:
        return _Weights(color=1.0)


class SelectiveSearchSegmentationStrategyTexture(SelectiveSearchSegmentationStrategy):
    """The similarity of the textures."""

    _name = "SelectiveSearchSegmentationStrategyTexture"

    def _weights(self, parents: tuple[SelectiveSearchSegmentationStrategy, ...] = ()) -> _Weights:
        return _Weights(texture=1.0)


class SelectiveSearchSegmentationStrategySize(SelectiveSearchSegmentationStrategy):
    """Small regions are merged first."""

    _name = "SelectiveSearchSegmentationStrategySize"

    def _weights(self, parents: tuple[SelectiveSearchSegmentationStrategy, ...] = ()) -> _Weights:
        return _Weights(size=1.0)


class SelectiveSearchSegmentationStrategyFill(SelectiveSearchSegmentationStrategy):
    """Regions that fit into each other are merged first."""

    _name = "SelectiveSearchSegmentationStrategyFill"

    def _weights(self, parents: tuple[SelectiveSearchSegmentationStrategy, ...] = ()) -> _Weights:
        return _Weights(fill=1.0)


class SelectiveSearchSegmentationStrategyMultiple(SelectiveSearchSegmentationStrategy):
    """The weighted mean of other strategies."""

    _name = "SelectiveSearchSegmentationStrategyMultiple"

    def __init__(self) -> None:
        self._strategies: list[tuple[SelectiveSearchSegmentationStrategy, float]] = []

    def addStrategy(self, g: SelectiveSearchSegmentationStrategy, weight: float) -> None:
        """Add a strategy with a weight, which is at least 0."""
        weight = _number("weight", weight)
        if not (math.isfinite(weight) and weight >= 0):
            raise Error("addStrategy", f"weight {weight:g}: want 0 or more")
        self._strategies.append((_strategy("g", g), weight))

    def clearStrategies(self) -> None:
        """Remove all strategies."""
        self._strategies.clear()

    def _weights(self, parents: tuple[SelectiveSearchSegmentationStrategy, ...] = ()) -> _Weights:
        if any(self is parent for parent in parents):
            raise Error("process", f"{self._name} that contains itself: want other strategies in it")
        total = sum(weight for _, weight in self._strategies)
        if total == 0:
            what = "with weights of 0" if self._strategies else "without strategies"
            raise Error("process", f"{self._name} {what}: want at least one strategy with a weight above 0")
        parts = [(s._weights((*parents, self)), weight / total) for s, weight in self._strategies if weight > 0]
        return _Weights(*(sum(w[i] * weight for w, weight in parts) for i in range(len(_Weights._fields))))


class _Converted(NamedTuple):
    """An image in a color space, which it is converted to when it is searched."""

    image: _Image  # BGR
    space: str


class SelectiveSearchSegmentation(_Algorithm):
    """Selective search (Uijlings et al., 2013).

    A search combines each image with each graph segmentation and each strategy. The methods
    ``switchTo...`` add the combinations of OpenCV, and `addImage`, `addGraphSegmentation` and
    `addStrategy` any others.
    """

    def __init__(self) -> None:
        self._base: Optional[_Image] = None
        self._images: list[Union[_Image, _Converted]] = []
        self._segmentations: list[GraphSegmentation] = []
        self._strategies: list[SelectiveSearchSegmentationStrategy] = []

    def setBaseImage(self, img: Any) -> None:
        """Set the image of the methods ``switchTo...``.

        Parameters
        ----------
        img : ndarray of uint8
            The image, in BGR, of shape (H, W, 3), or (H, W, 4), of which the last channel is ignored. It
            is not copied.
        """
        self._base = _check_image("setBaseImage", img)
        _channels("setBaseImage", self._base, 1, 3, 4)  # 1 is an error only where it is converted

    def addImage(self, img: Any) -> None:
        """Add an image, which is searched in the color space that it is in.

        Parameters
        ----------
        img : ndarray of uint8
            The image, of shape (H, W), (H, W, 1) or (H, W, 3). It is not copied. All images must have the same
            height and width.
        """
        image = _check_image("addImage", img)
        _channels("addImage", image, 1, 3)
        self._images.append(image)

    def clearImages(self) -> None:
        """Remove all images, but not the base image."""
        self._images.clear()

    def addGraphSegmentation(self, g: GraphSegmentation) -> None:
        """Add a graph segmentation. Its parameters can be changed until `process` is called."""
        if not isinstance(g, GraphSegmentation):
            raise TypeError(f"g of type {type(g).__name__}: want the result of proposer's createGraphSegmentation")
        self._segmentations.append(g)

    def clearGraphSegmentations(self) -> None:
        """Remove all graph segmentations."""
        self._segmentations.clear()

    def addStrategy(self, s: SelectiveSearchSegmentationStrategy) -> None:
        """Add a strategy."""
        self._strategies.append(_strategy("s", s))

    def clearStrategies(self) -> None:
        """Remove all strategies."""
        self._strategies.clear()

    def switchToSingleStrategy(self, k: int = 200, sigma: float = 0.8) -> None:
        """Replace everything by one combination, that of mode ``opencv-single``.

        Parameters
        ----------
        k : int
            The scale of the segmentation.
        sigma : float
            The smoothing in pixels.
        """
        self._switch("switchToSingleStrategy", ["HSV"], [("k", k)], sigma, 1)

    def switchToSelectiveSearchFast(self, base_k: int = 150, inc_k: int = 150, sigma: float = 0.8) -> None:
        """Replace everything by the 12 combinations of mode ``opencv-fast``.

        Parameters
        ----------
        base_k : int
            The scale of the first of three segmentations.
        inc_k : int
            The difference between the scales.
        sigma : float
            The smoothing in pixels.
        """
        name = "switchToSelectiveSearchFast"
        self._switch(name, ["HSV", "Lab"], _scales(name, base_k, inc_k, 3), sigma, 2)

    def switchToSelectiveSearchQuality(self, base_k: int = 150, inc_k: int = 150, sigma: float = 0.8) -> None:
        """Replace everything by the 100 combinations of mode ``opencv-quality``.

        Parameters
        ----------
        base_k : int
            The scale of the first of five segmentations.
        inc_k : int
            The difference between the scales.
        sigma : float
            The smoothing in pixels.
        """
        name = "switchToSelectiveSearchQuality"
        spaces = ["HSV", "Lab", "I", "H", "R-G-I"]
        self._switch(name, spaces, _scales(name, base_k, inc_k, 5), sigma, 4)

    def _switch(self, name: str, spaces: list[str], ks: list[tuple[str, int]], sigma: float, strategies: int) -> None:
        if self._base is None:
            raise Error(name, "no base image: call setBaseImage first")
        if self._base.shape[2:] not in [(3,), (4,)]:
            raise Error(
                name,
                f"base image of shape {self._base.shape}: want (H, W, 3) in BGR; "
                "cv2.cvtColor(image, cv2.COLOR_GRAY2BGR) converts a gray image",
            )
        segmentations = []
        for argument, value in ks:
            g = GraphSegmentation()
            g._k = _k(name, argument, integer(argument, value))
            g._sigma = _sigma(name, sigma)
            segmentations.append(g)
        color = createSelectiveSearchSegmentationStrategyColor()
        fill = createSelectiveSearchSegmentationStrategyFill()
        texture = createSelectiveSearchSegmentationStrategyTexture()
        size = createSelectiveSearchSegmentationStrategySize()
        all_strategies = [
            createSelectiveSearchSegmentationStrategyMultiple(color, fill, texture, size),
            createSelectiveSearchSegmentationStrategyMultiple(fill, texture, size),
            fill,
            size,
        ]
        image = np.array(self._base[:, :, :3])  # later changes of the caller's array do not count
        self._images = [_Converted(image, space) for space in spaces]
        self._segmentations = segmentations
        self._strategies = list(all_strategies[:strategies])

    def process(self) -> _Boxes:
        """Search the images.

        Returns
        -------
        ndarray of int32
            The boxes, of shape (N, 4): x, y, width and height, without duplicates, the best first. N is 0
            if there are no images, no graph segmentations or no strategies.

        Raises
        ------
        Error
            If the images have different sizes or are too large, or there are too many combinations.

        Notes
        -----
        The order is the learned order "objectness" of this package. It depends on the images and the
        combinations alone. OpenCV's is random.

        If the images are those of a method ``switchTo...``, the base image is what the ranking sees;
        otherwise it is the base image if it has the size of the images, or the first image.
        """
        if not (self._images and self._segmentations and self._strategies):
            return np.empty((0, 4), np.int32)
        given = [image for image in self._images if not isinstance(image, _Converted)]
        ranked = self._ranked_image()
        for i, item in enumerate(self._images):
            image = item.image if isinstance(item, _Converted) else item
            size = ranked.shape[:2]
            if image.shape[:2] != size:
                raise Error("process", f"image {i} of shape {image.shape}: want the size of the others, {size}")
        if len(given) > _MAX_IMAGES:
            raise Error("process", f"{len(given)} images: want at most {_MAX_IMAGES}")
        strategies = self._combine()
        pixels = [Pixels(image, bgr=True) for image in (ranked, *given)]
        images = (ImageStruct * len(given))(*(p.struct for p in pixels[1:]))
        # The mode is that of 4-connected pixels. In OpenCV every box is that of a region.
        options = f"mode=opencv-fast unions=0 joins=0 threads={threads()}"
        with _library.owned(ResultStruct, "proposer_result_free") as result:
            _call(
                "process", "proposer_search_strategies", pixels[0].struct, images, len(images),
                strategies, len(strategies), options.encode(), ctypes.byref(result),
            )  # fmt: skip
            boxes: _Boxes = np.ctypeslib.as_array(result.contents.boxes, (result.contents.count, 4)).copy()
        boxes[:, 2:] -= boxes[:, :2]
        return boxes

    def _ranked_image(self) -> _Image:
        """Return the image that the ranking sees."""
        for item in self._images:
            if isinstance(item, _Converted):
                return item.image
        first: Any = self._images[0]
        if self._base is not None and self._base.shape[:2] == first.shape[:2]:
            return self._base[:, :, :3] if self._base.ndim == 3 else self._base
        image: _Image = first
        return image

    def _combine(self) -> ctypes.Array[StrategyStruct]:
        """Return each combination once: the images, within them the segmentations and the strategies."""
        weights = []
        for s in self._strategies:
            mean = s._weights()
            weights.append(tuple(w / max(mean) for w in mean))
        all_combinations: dict[tuple[Any, ...], None] = {}
        index = 0
        for item in self._images:
            space, image = None, 0
            if isinstance(item, _Converted):
                space = item.space.encode()
            else:
                image = index
                index += 1
            for g in self._segmentations:
                for w in weights:
                    all_combinations[space, image, max(g._min_size, 1), g._k, g._sigma, *w] = None
        if len(all_combinations) > _MAX_STRATEGIES:
            raise Error(
                "process",
                f"{len(self._images)} images, {len(self._segmentations)} graph segmentations and {len(weights)} "
                f"strategies: want at most {_MAX_STRATEGIES} combinations, not {len(all_combinations)}",
            )
        structs = [StrategyStruct(*c) for c in all_combinations]
        return (StrategyStruct * len(structs))(*structs)


def createSelectiveSearchSegmentation() -> SelectiveSearchSegmentation:
    """Return a new selective search."""
    return SelectiveSearchSegmentation()


def createGraphSegmentation(sigma: float = 0.5, k: float = 300, min_size: int = 100) -> GraphSegmentation:
    """Return a new graph segmentation.

    Parameters
    ----------
    sigma : float
        The smoothing in pixels, at most 16.
    k : float
        The scale, above 0 and at most 1e6: the larger, the larger are the regions.
    min_size : int
        The smallest size of a region in pixels.
    """
    g = GraphSegmentation()
    g.setSigma(sigma)
    g.setK(k)
    g.setMinSize(min_size)
    return g


def createSelectiveSearchSegmentationStrategyColor() -> SelectiveSearchSegmentationStrategyColor:
    """Return a new strategy that compares colors."""
    return SelectiveSearchSegmentationStrategyColor()


def createSelectiveSearchSegmentationStrategyTexture() -> SelectiveSearchSegmentationStrategyTexture:
    """Return a new strategy that compares textures."""
    return SelectiveSearchSegmentationStrategyTexture()


def createSelectiveSearchSegmentationStrategySize() -> SelectiveSearchSegmentationStrategySize:
    """Return a new strategy that merges small regions first."""
    return SelectiveSearchSegmentationStrategySize()


def createSelectiveSearchSegmentationStrategyFill() -> SelectiveSearchSegmentationStrategyFill:
    """Return a new strategy that merges regions first that fit into each other."""
    return SelectiveSearchSegmentationStrategyFill()


def createSelectiveSearchSegmentationStrategyMultiple(
    s1: Optional[SelectiveSearchSegmentationStrategy] = None,
    s2: Optional[SelectiveSearchSegmentationStrategy] = None,
    s3: Optional[SelectiveSearchSegmentationStrategy] = None,
    s4: Optional[SelectiveSearchSegmentationStrategy] = None,
) -> SelectiveSearchSegmentationStrategyMultiple:
    """Return a new mean of up to four strategies with equal weights."""
    multiple = SelectiveSearchSegmentationStrategyMultiple()
    for s in (s1, s2, s3, s4):
        if s is not None:
            multiple.addStrategy(s, 1.0)
    return multiple


def _number(argument: str, value: Any) -> float:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (numbers.Real, np.number)):
        raise TypeError(f"{argument} = {value!r}: want a number")
    return float(value)


def _int32(function: str, argument: str, value: Any) -> int:
    i = integer(argument, value)
    if not -_MAX_INT <= i <= _MAX_INT:
        raise Error(function, f"{argument} {i}: want an integer of 32 bits")
    return i


def _k(function: str, argument: str, value: float) -> float:
    if not 0 < value <= _MAX_K:
        raise Error(function, f"{argument} {value:g}: want a number above 0, at most {_MAX_K:g}")
    return float(np.float32(value))


def _sigma(function: str, value: Any) -> float:
    sigma = _number("sigma", value)
    if not sigma <= _MAX_SIGMA:
        raise Error(function, f"sigma {sigma:g}: want a number up to {_MAX_SIGMA:g}")
    return sigma if sigma > 0 else _MIN_SIGMA


def _scales(function: str, base_k: int, inc_k: int, n: int) -> list[tuple[str, int]]:
    base, increment = integer("base_k", base_k), integer("inc_k", inc_k)
    if increment < 1:
        raise Error(function, f"inc_k {increment}: want 1 or more")
    return [("base_k" if i == 0 else f"base_k + {i} inc_k", base + i * increment) for i in range(n)]


def _strategy(argument: str, value: Any) -> SelectiveSearchSegmentationStrategy:
    if not isinstance(value, SelectiveSearchSegmentationStrategy):
        raise TypeError(f"{argument} of type {type(value).__name__}: want a strategy of proposer.cv2")
    return value


def _check_array(function: str, image: Any) -> npt.NDArray[Any]:
    if image is None:
        raise Error(
            function, "image is None: want a NumPy array; cv2.imread returns None for a file that it cannot read"
        )
    if not isinstance(image, np.ndarray):
        raise Error(function, f"image of type {type(image).__name__}: want a NumPy array")
    if image.ndim not in (2, 3):
        raise Error(function, f"image of shape {image.shape}: want (H, W) or (H, W, channels)")
    if not all(0 < side <= _MAX_INT for side in image.shape):
        raise Error(function, f"image of shape {image.shape}: want sides above 0 that fit 32 bits")
    return image


def _check_image(function: str, image: Any) -> _Image:
    array = _check_array(function, image)
    if array.dtype != np.uint8:
        raise Error(function, f"image of type {array.dtype}: want uint8")
    return array


def _samples(function: str, image: Any) -> npt.NDArray[Any]:
    """Return an image as an array of shape (H, W, C), of uint8 or float64."""
    array = _check_array(function, image)
    if array.dtype.kind not in "iuf":
        raise Error(function, f"image of type {array.dtype}: want integers or floats")
    array = array.reshape(*array.shape[:2], -1) if array.ndim == 2 else array
    height, width, channels = array.shape
    if max(height, width) > _MAX_SIDE or height * width > MAX_PIXELS or channels > _MAX_CHANNELS:
        raise Error(
            function,
            f"image of shape {image.shape}: want sides of at most {_MAX_SIDE}, "
            f"{MAX_PIXELS} pixels and {_MAX_CHANNELS} channels",
        )
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array) if 0 in array.strides else array
    with np.errstate(over="ignore"):
        array = np.ascontiguousarray(array.astype(np.float32), np.float64)  # as OpenCV converts it
    if not np.isfinite(array).all():
        raise Error(function, f"image of type {image.dtype} with infinite values or NaN: want finite values")
    return array


def _channels(function: str, image: _Image, *want: int) -> int:
    channels = image.shape[2] if image.ndim == 3 else 1
    if channels not in want:
        *most, last = map(str, want)
        raise Error(function, f"image of shape {image.shape}: want {', '.join(most)} or {last} channels")
    return channels


def _call(method: str, function: str, *args: Any) -> None:
    try:
        _library.call(function, *args)
    except _library.Error as err:
        raise Error(method, str(err)) from None
