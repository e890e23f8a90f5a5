"""Proposals in PyTorch: a transform, and a wrapper of data sets with a cache on disk.

`SelectiveSearch` gives the boxes of an image as tensors, or adds them to a detection target.
`ProposalDataset` adds them to the samples of a data set. Both work in the worker processes of
``torch.utils.data.DataLoader`` with every start method.

Boxes are float32 tensors of shape (N, 4) with rows x0, y0, x1, y1 in pixels, half-open, the best
first. ``torchvision.ops.roi_align`` takes a list of them, one for each image of a batch; pass it
``aligned=True``.

Only this module of the package imports torch.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import inspect
import io
import os
import re
import secrets
import time
import warnings
import zipfile
from collections.abc import Sequence
from typing import Any, Callable, Optional, Union, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from proposer._image import Encoded, Pixels, to_image
from proposer._library import Error, OptionError, library_content
from proposer._proposals import Proposals
from proposer._search import SearchOptions, search, selective_search

__all__ = ["ProposalDataset", "SelectiveSearch", "collate"]

_NO_TARGET = object()


class SelectiveSearch:
    """A transform that proposes boxes for an image.

    ``transform(image)`` returns the boxes and their scores. ``transform(image, target)`` returns the
    image and a copy of the target with two more keys, ``"proposals"`` and ``"proposal_scores"``; so
    it can be one of the transforms of a detection pipeline, of torchvision's references or of
    ``torchvision.transforms.v2``.

    Parameters
    ----------
    mode : str, optional
        The strategies, as in `proposer.selective_search`.
    max_boxes : int, optional
        The maximum number of boxes of an image, best first. 0: all.
    cache_dir : path, optional
        A folder for the proposals of images that have been searched, see Notes. It is created if it
        does not exist. None: nothing is stored.
    **options
        Other options of `proposer.selective_search`, except masks. In the workers of a data loader,
        which share the processor, `threads` is 1 unless it is given.

    Raises
    ------
    OptionError
        If a value is of a wrong type. Others that are invalid are reported with the first image.

    Notes
    -----
    An image is a PIL image, a tensor of shape (C, H, W) of uint8 or of floats from 0 to 1, or
    anything else that `proposer.selective_search` accepts. So the transform comes before ``Normalize``.

    Boxes are in pixels of the image that is given. Transforms that flip, crop or resize the image
    later must also change the proposals. Those of ``torchvision.transforms.v2`` do, except that
    ``RandomIoUCrop`` and ``SanitizeBoundingBoxes`` can only handle one set of boxes in a sample: put
    them before this transform. The transforms of torchvision's references change the boxes of the
    ground truth alone: put all of them that change the geometry before this transform. A crop leaves
    boxes empty that are outside of it.

    In a target, the boxes are ``torchvision.tv_tensors.BoundingBoxes`` where torchvision has them
    (0.16 or newer), and plain tensors otherwise.

    The cache has one file for an image and options, named by a hash of the pixels, the options and
    the library. So it is never out of date. Any number of processes may use the same folder. Damaged
    files are replaced. If a file cannot be written, a warning says so, and the search goes on. The
    files are NumPy archives (npz) of ``boxes`` (int32), ``scores`` (float32), ``size`` (height,
    width), ``options`` and ``key``; they take about 11 bytes per box and 64 MiB at most. No file is
    ever deleted: do not use a cache where images are cropped or distorted at random, which makes
    every image a new one.

    Examples
    --------
    >>> import torch, torchvision
    >>> from proposer.torch import SelectiveSearch
    >>> image = torch.zeros(3, 48, 64, dtype=torch.uint8)
    >>> image[0, 10:30, 20:50] = 200
    >>> transform = SelectiveSearch("fast", max_boxes=100)
    >>> boxes, scores = transform(image)
    >>> boxes.dtype, [20, 10, 50, 30] in boxes.tolist()
    (torch.float32, True)

    Pool the boxes from features of stride 16:

    >>> features = torch.zeros(1, 256, 3, 4)
    >>> pooled = torchvision.ops.roi_align(features, [boxes], 7, spatial_scale=1 / 16, aligned=True)
    >>> pooled.shape[1:]
    torch.Size([256, 7, 7])

    Add them to a target:

    >>> image, target = transform(image, {"labels": torch.tensor([1])})
    >>> list(target)
    ['labels', 'proposals', 'proposal_scores']
    """

    def __init__(
        self,
        mode: str = "fast",
        *,
        max_boxes: int = 2000,
        cache_dir: Union[str, os.PathLike[str], None] = None,
        **options: Any,
    ) -> None:
        if "masks" in options:
            raise TypeError("SelectiveSearch() takes no option masks: proposer.selective_search returns masks")
        self.options: dict[str, Any] = {"mode": mode, "max_boxes": max_boxes, **options}
        bound = inspect.signature(selective_search).bind(None, **self.options)
        bound.apply_defaults()
        del bound.arguments["image"]
        self._values = dict(bound.arguments)
        SearchOptions(self._values)  # reports values of wrong types
        self._cache = None if cache_dir is None else _Cache(cache_dir)

    @overload
    def __call__(self, image: Any) -> tuple[torch.Tensor, torch.Tensor]: ...

    @overload
    def __call__(self, image: Any, target: Optional[dict[str, Any]]) -> tuple[Any, dict[str, Any]]: ...

    def __call__(self, image: Any, target: Any = _NO_TARGET) -> tuple[Any, Any]:
        if target is not _NO_TARGET and target is not None and not isinstance(target, dict):
            raise TypeError(f"target of type {type(target).__name__}: want a dict or None")
        found = self._search(image)
        boxes = torch.from_numpy(found.boxes.astype(np.float32))
        scores = torch.from_numpy(found.scores)
        if target is _NO_TARGET:
            return boxes, scores
        bounding_boxes = _bounding_boxes()
        if bounding_boxes is not None:
            boxes = bounding_boxes(boxes, format="XYXY", canvas_size=(found.height, found.width))
        return image, {**(target or {}), "proposals": boxes, "proposal_scores": scores}

    def _search(self, image: Any) -> Proposals:
        worker: Any = get_worker_info()  # type: ignore[no-untyped-call]
        values = dict(self._values)
        if "threads" not in self.options and worker is not None:
            values["threads"] = 1
        options = SearchOptions(values)
        # The pixels that are hashed are those that are searched, even if a file changes in between.
        converted = to_image(image, options.channel_order, options.max_pixels, options.max_bytes)

        def run() -> Proposals:
            found, warning = search(converted, options)
            if warning:
                warnings.warn(warning, stacklevel=2)
            return found

        if self._cache is None:
            return run()
        values["threads"] = 0  # the result does not depend on it
        return self._cache.find(converted, SearchOptions(values).text.decode(), run)

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={value!r}" for name, value in self.options.items())
        return f"{type(self).__name__}({options})"


class ProposalDataset(Dataset[Any]):
    """A data set with the proposals of its images.

    The proposals of an image are computed when the image is used for the first time, and are read
    from a folder from then on, in later epochs and programs as well. See the notes of
    `SelectiveSearch` on the files.

    Parameters
    ----------
    dataset : torch.utils.data.Dataset
        A map-style data set. Its samples are images, tuples that begin with an image and a target, or
        dicts with an image at `image_key`. Images are those of `SelectiveSearch`.
    cache_dir : path
        The folder. It is created if it does not exist.
    transforms : callable, optional
        A function that is called with the image and the target after the proposals have been added,
        and returns both; with the sample if samples are dicts. It must change the proposals if it
        flips, crops or resizes the image.
    mode : str, optional
        The strategies, as in `proposer.selective_search`.
    max_boxes : int, optional
        The maximum number of boxes of an image, best first. 0: all.
    image_key : str, optional
        The key of the image in samples that are dicts.
    **options
        Other options of `proposer.selective_search`, except masks.

    Notes
    -----
    A sample is a tuple of an image and a target with the keys ``"proposals"`` and
    ``"proposal_scores"``, followed by the other items of the sample of `dataset`. A target that is not a
    dict is put into one, at the key ``"target"``. If the sample of `dataset` is a dict, the two keys are
    added to a copy of it.

    Examples
    --------
    >>> import tempfile, torch, torchvision
    >>> from proposer.torch import ProposalDataset, collate
    >>> images = torch.zeros(4, 3, 48, 64, dtype=torch.uint8)
    >>> images[:, 0, 10:30, 20:50] = 200
    >>> labels = torch.tensor([1, 0, 1, 1])
    >>> dataset = torch.utils.data.TensorDataset(images, labels)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     proposed = ProposalDataset(dataset, folder, max_boxes=100)
    ...     loader = torch.utils.data.DataLoader(proposed, batch_size=2, collate_fn=collate)
    ...     for images, targets in loader:
    ...         rois = [target["proposals"] for target in targets]
    ...         features = torch.zeros(2, 256, 3, 4)  # of a network
    ...         pooled = torchvision.ops.roi_align(features, rois, 7, spatial_scale=1 / 16, aligned=True)
    """

    def __init__(
        self,
        dataset: Any,
        cache_dir: Union[str, os.PathLike[str]],
        transforms: Optional[Callable[..., Any]] = None,
        *,
        mode: str = "fast",
        max_boxes: int = 2000,
        image_key: str = "image",
        **options: Any,
    ) -> None:
        if isinstance(dataset, IterableDataset) or not hasattr(dataset, "__getitem__"):
            raise TypeError(f"data set of type {type(dataset).__name__}: want a map-style data set")
        self.dataset = dataset
        self.transforms = transforms
        self.image_key = image_key
        self.search = SelectiveSearch(mode, max_boxes=max_boxes, cache_dir=cache_dir, **options)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: Any) -> Any:
        sample = self.dataset[index]
        try:
            return self._add(sample)
        except Error as err:
            raise type(err)(f"sample {index}: {err}") from err

    def _add(self, sample: Any) -> Any:
        if isinstance(sample, dict):
            if self.image_key not in sample:
                raise KeyError(f"sample with keys {list(sample)}: want {self.image_key!r} (image_key)")
            _, sample = self.search(sample[self.image_key], sample)
            return sample if self.transforms is None else self.transforms(sample)
        items = list(sample) if isinstance(sample, (tuple, list)) else [sample]
        image, target, *others = items + [None] * (2 - len(items))
        if target is not None and not isinstance(target, dict):
            target = {"target": target}
        image, target = self.search(image, target)
        if self.transforms is not None:
            image, target = self.transforms(image, target)
        return (image, target, *others)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.dataset!r}, {self.search!r})"


def collate(samples: Sequence[Any]) -> Any:
    """Return a batch: a tuple of the images, a tuple of the targets, and so on.

    Use it as ``collate_fn`` of a data loader, whose own function needs the same number of boxes in
    all images.

    Parameters
    ----------
    samples : sequence of tuples or dicts
        The samples, which have the same number of items, or the same keys.

    Returns
    -------
    tuple or dict of tuples
        The first items of all samples, the second ones, and so on; or the values of each key.

    Raises
    ------
    TypeError, ValueError
        If the samples are not tuples or dicts, or differ in their numbers of items or in their keys.

    Examples
    --------
    >>> collate([("image 0", {"a": 0}), ("image 1", {"a": 1})])
    (('image 0', 'image 1'), ({'a': 0}, {'a': 1}))
    """
    for sample in samples:
        if not isinstance(sample, (tuple, list, dict)):
            raise TypeError(f"sample of type {type(sample).__name__}: want a tuple or a dict")
        if isinstance(sample, dict) != isinstance(samples[0], dict) or len(sample) != len(samples[0]):
            raise ValueError("samples of different kinds or lengths: want the same number of items in all")
    if len(samples) > 0 and isinstance(samples[0], dict):
        if any(sample.keys() != samples[0].keys() for sample in samples):
            raise ValueError("samples with different keys: want the same keys in all")
        return {key: tuple(sample[key] for sample in samples) for key in samples[0]}
    return tuple(zip(*samples))


@functools.lru_cache(maxsize=None)
def _bounding_boxes() -> Optional[Callable[..., torch.Tensor]]:
    """Return torchvision.tv_tensors.BoundingBoxes, or None if torchvision does not have it."""
    try:
        module = importlib.import_module("torchvision.tv_tensors")
    except ImportError:
        return None
    bounding_boxes: Callable[..., torch.Tensor] = module.BoundingBoxes
    return bounding_boxes


_read_array: Callable[..., NDArray[Any]] = np.lib.format.read_array
_MAX_ENTRY = 64 << 20  # the largest file, and the largest size of its arrays, in bytes
_FORMAT = "1"  # of the files


class _Cache:
    """A folder of proposals. It may be used by any number of processes."""

    def __init__(self, folder: Union[str, os.PathLike[str]]) -> None:
        if not os.fspath(folder):
            raise OptionError("cache_dir is empty: want a folder, or None")
        self.folder = os.path.abspath(os.fsdecode(folder))
        os.makedirs(self.folder, exist_ok=True)
        self._warned = False
        _remove_old_parts(self.folder)

    def find(self, image: Union[Pixels, Encoded], options: str, run: Callable[[], Proposals]) -> Proposals:
        """Return the stored proposals of an image, or search it and store them."""
        key = _key(image, options)
        path = os.path.join(self.folder, key[:2], key + ".npz")
        found = _read(path, key)
        if found is None:
            found = run()
            try:
                self._write(path, key, options, found)
            except OSError as err:
                if not self._warned:
                    warnings.warn(f"{path}: the proposals cannot be stored: {err}", RuntimeWarning, stacklevel=4)
                self._warned = True
        return found

    def _write(self, path: str, key: str, options: str, found: Proposals) -> None:
        file = io.BytesIO()
        size = np.array([found.height, found.width], np.int32)
        np.savez_compressed(
            file, boxes=found.boxes, scores=found.scores, size=size, options=np.array(options), key=np.array(key)
        )
        data = file.getbuffer()
        if found.boxes.nbytes + found.scores.nbytes > _MAX_ENTRY // 2 or len(data) > _MAX_ENTRY:
            raise OSError(f"{len(found)} boxes: want at most {_MAX_ENTRY // 40}")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        part = os.path.join(self.folder, secrets.token_hex(16) + ".part")
        try:
            # Other processes see the whole file or none. Unlike those of tempfile, it gets the usual permissions.
            with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "wb") as out:
                out.write(data)
            os.replace(part, path)
        except BaseException:
            try:
                os.unlink(part)
            except OSError:
                pass
            raise


def _key(image: Union[Pixels, Encoded], options: str) -> str:
    """Return the name of the proposals of an image: a hash of all that they depend on."""
    if isinstance(image, Encoded):
        what, data = "file", image.data
    else:
        what, data = f"{image.array.shape} {image.struct.channel_order}", np.ascontiguousarray(image.array).reshape(-1)
    hashed = hashlib.sha256(f"{_FORMAT}\n{_library_hash()}\n{options}\n{what}\n".encode())
    hashed.update(data.data)
    return hashed.hexdigest()


@functools.lru_cache(maxsize=None)
def _library_hash() -> str:
    with library_content() as content:
        return hashlib.sha256(content).hexdigest()


def _read(path: str, key: str) -> Optional[Proposals]:
    """Return stored proposals, or None if there are none or the file is damaged."""
    try:
        with open(path, "rb") as file:
            data = file.read(_MAX_ENTRY + 1)
        if len(data) > _MAX_ENTRY:
            return None
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sum(member.file_size for member in archive.infolist()) > _MAX_ENTRY:
                return None
            arrays = {
                name: _read_array(io.BytesIO(archive.read(name + ".npy")), allow_pickle=False)
                for name in ("key", "boxes", "scores", "size")
            }
        height, width = arrays["size"].tolist()
        boxes, scores = arrays["boxes"], arrays["scores"]
        if arrays["key"].item() != key or not _are_proposals(boxes, scores, width, height):
            return None
        return Proposals(boxes, scores, width, height)
    except Exception:  # zipfile and NumPy raise many kinds
        return None


def _are_proposals(boxes: NDArray[Any], scores: NDArray[Any], width: int, height: int) -> bool:
    return (
        boxes.dtype == np.int32
        and scores.dtype == np.float32
        and scores.ndim == 1
        and boxes.shape == (len(scores), 4)
        and bool((boxes[:, :2] >= 0).all())
        and bool((boxes[:, :2] < boxes[:, 2:]).all())
        and bool((boxes[:, 2:] <= (width, height)).all())
        and bool((scores[1:] < scores[:-1]).all())
    )


def _remove_old_parts(folder: str) -> None:
    """Remove the unfinished files of processes that were killed."""
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                # Other programs also give files such names.
                is_part = re.fullmatch(r"[0-9a-f]{32}\.part", entry.name)
                if is_part and time.time() - entry.stat().st_mtime > 24 * 60 * 60:
                    os.unlink(entry.path)
            except OSError:  # another process was faster
                pass
