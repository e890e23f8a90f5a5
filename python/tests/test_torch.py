"""Tests of proposer.torch."""

from __future__ import annotations

import io
import os
import pickle
import random
import stat
import subprocess
import sys
import time
import types
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional

import numpy as np
import proposer
import pytest

torch = pytest.importorskip("torch")
PIL_Image = pytest.importorskip("PIL.Image")

import proposer.torch  # noqa: E402
from proposer.torch import ProposalDataset, SelectiveSearch, collate  # noqa: E402


def scene(seed: int = 0) -> Any:
    """Return an image with colored rectangles, (48, 64, 3)."""
    rng = np.random.default_rng(seed)
    image = np.full((48, 64, 3), 128, np.uint8)
    for x, y, width, height in rng.integers(4, 30, (5, 4)):
        image[y : y + height, x : x + width] = rng.integers(0, 256, 3)
    return image


def chw(image: Any) -> Any:
    return torch.from_numpy(image).permute(2, 0, 1)


def assert_equal(boxes: Any, scores: Any, want: proposer.Proposals) -> None:
    assert boxes.dtype == scores.dtype == torch.float32
    assert boxes.shape == (len(want), 4) and scores.shape == (len(want),)
    np.testing.assert_array_equal(boxes.numpy().astype(np.int32), want.boxes)
    np.testing.assert_array_equal(scores.numpy(), want.scores)


IMAGES = {
    "PIL": lambda: PIL_Image.fromarray(scene()),
    "tensor": lambda: chw(scene()),
    "contiguous tensor": lambda: chw(scene()).contiguous(),
    "flipped twice": lambda: chw(scene()).flip(2).flip(2),
    "floats as of ToTensor": lambda: chw(scene()).float() / 255,
    "double": lambda: chw(scene()).double() / 255,
    "with gradient": lambda: (chw(scene()).float() / 255).requires_grad_(),
    "array": scene,
    "PNG": lambda: png(scene()),
}


def png(image: Any) -> bytes:
    file = io.BytesIO()
    PIL_Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("kind", IMAGES)
@pytest.mark.parametrize("cached", [False, True])
def test_kinds_of_images(kind: str, cached: bool, tmp_path: Path) -> None:
    transform = SelectiveSearch(max_boxes=50, cache_dir=tmp_path if cached else None)
    want = proposer.selective_search(scene(), max_boxes=50)
    for _ in range(2):
        assert_equal(*transform(IMAGES[kind]()), want)


def test_gray_and_transparent_tensors() -> None:
    gray = scene()[:, :, 0]
    want = proposer.selective_search(gray)
    for tensor in [torch.from_numpy(gray), torch.from_numpy(gray)[None]]:
        assert_equal(*SelectiveSearch()(tensor), want)
    rgba = np.dstack([scene(), np.full((48, 64), 255, np.uint8)])
    assert_equal(*SelectiveSearch()(chw(rgba)), proposer.selective_search(scene()))


def test_boxes_can_be_pooled() -> None:
    torchvision = pytest.importorskip("torchvision")
    rois = [SelectiveSearch(max_boxes=20)(chw(scene(seed)))[0] for seed in range(3)]
    pooled = torchvision.ops.roi_align(torch.rand(3, 8, 12, 16), rois, 7, spatial_scale=0.25, aligned=True)
    assert pooled.shape == (sum(map(len, rois)), 8, 7, 7) and pooled.isfinite().all()


def test_target() -> None:
    given = {"boxes": torch.ones(1, 4), "labels": torch.ones(1)}
    image = PIL_Image.fromarray(scene())
    returned, target = SelectiveSearch()(image, given)
    assert returned is image
    assert list(given) == ["boxes", "labels"]
    assert list(target) == ["boxes", "labels", "proposals", "proposal_scores"]
    assert target["boxes"] is given["boxes"]
    assert_equal(target["proposals"], target["proposal_scores"], proposer.selective_search(scene()))
    assert list(SelectiveSearch()(image, None)[1]) == list(SelectiveSearch()(image, target=None)[1])
    with pytest.raises(TypeError, match="^target of type list: want a dict or None$"):
        SelectiveSearch()(image, [1])  # type: ignore[call-overload]


def test_pipelines() -> None:
    torchvision = pytest.importorskip("torchvision")

    class Compose:  # as in the references of torchvision
        def __init__(self, transforms: Any) -> None:
            self.transforms = transforms

        def __call__(self, image: Any, target: Any) -> Any:
            for transform in self.transforms:
                image, target = transform(image, target)
            return image, target

    def to_tensor(image: Any, target: Any) -> Any:
        return torchvision.transforms.functional.to_tensor(image), target

    image = PIL_Image.fromarray(scene())
    want = proposer.selective_search(scene())
    for transforms in [SelectiveSearch(), to_tensor], [to_tensor, SelectiveSearch()]:
        result, target = Compose(transforms)(image, {})
        assert torch.equal(result, chw(scene()) / 255)
        assert_equal(target["proposals"], target["proposal_scores"], want)
    resize = torchvision.transforms.Resize((96, 128))
    assert_equal(
        *torchvision.transforms.Compose([resize, SelectiveSearch()])(image),
        proposer.selective_search(resize(image)),
    )


def test_options() -> None:
    transform = SelectiveSearch("single", max_boxes=7, order="paper", seed=3, min_side=5, channel_order="bgr")
    want = proposer.selective_search(
        scene(), "single", max_boxes=7, order="paper", seed=3, min_side=5, channel_order="bgr"
    )
    assert_equal(*transform(scene()), want)
    assert repr(transform) == (
        "SelectiveSearch(mode='single', max_boxes=7, order='paper', seed=3, min_side=5, channel_order='bgr')"
    )
    again = pickle.loads(pickle.dumps(transform))
    assert repr(again) == repr(transform)
    assert_equal(*again(scene()), want)


@pytest.mark.parametrize(
    ("options", "worker", "threads"), [({}, None, 0), ({}, 1, 1), ({"threads": 2}, None, 2), ({"threads": 2}, 1, 2)]
)
def test_threads(
    options: dict[str, Any], worker: Optional[int], threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    search, texts = proposer.torch.search, []

    def recorded(image: Any, options: Any) -> Any:
        texts.append(options.text.decode().split())
        return search(image, options)

    monkeypatch.setattr(proposer.torch, "search", recorded)
    monkeypatch.setattr(proposer.torch, "get_worker_info", lambda: worker)
    SelectiveSearch(**options)(scene())
    assert f"threads={threads}" in texts[0]


def test_invalid_options(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="speed"):
        SelectiveSearch(speed=1)
    with pytest.raises(TypeError, match="masks"):
        SelectiveSearch(masks=True)
    with pytest.raises(proposer.OptionError, match="max_boxes None|max_boxes True"):
        SelectiveSearch(max_boxes=True)
    for cache_dir in [None, tmp_path]:
        with pytest.raises(proposer.OptionError, match='^mode "slow": want '):
            SelectiveSearch("slow", cache_dir=cache_dir)(scene())
    assert not list(tmp_path.rglob("*.npz"))


def test_normalized_tensors_are_refused() -> None:
    with pytest.raises(proposer.ImageError, match="values from -2 to 2: want values from 0 to 1"):
        SelectiveSearch()(torch.linspace(-2, 2, 3 * 48 * 64).reshape(3, 48, 64))


def test_bounding_boxes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The boxes of a target are tv tensors where torchvision has them."""

    class BoundingBoxes(torch.Tensor):  # type: ignore[misc,name-defined]
        def __new__(cls, data: Any, *, format: str, canvas_size: tuple[int, int]) -> Any:
            boxes = torch.as_tensor(data).as_subclass(cls)
            boxes.format, boxes.canvas_size = format, canvas_size
            return boxes

    module: Any = types.ModuleType("torchvision.tv_tensors")
    module.BoundingBoxes = BoundingBoxes
    monkeypatch.setitem(sys.modules, "torchvision.tv_tensors", module)
    proposer.torch._bounding_boxes.cache_clear()
    try:
        _, target = SelectiveSearch()(scene(), {})
        boxes, _ = SelectiveSearch()(scene())
    finally:
        proposer.torch._bounding_boxes.cache_clear()
    assert isinstance(target["proposals"], BoundingBoxes)
    assert (target["proposals"].format, target["proposals"].canvas_size) == ("XYXY", (48, 64))
    assert type(target["proposal_scores"]) is type(boxes) is torch.Tensor


def test_torchvision_has_what_the_transform_makes() -> None:
    tv_tensors = pytest.importorskip("torchvision.tv_tensors")
    _, target = SelectiveSearch()(scene(), {})
    assert isinstance(target["proposals"], tv_tensors.BoundingBoxes)
    assert target["proposals"].format == tv_tensors.BoundingBoxFormat.XYXY
    assert tuple(target["proposals"].canvas_size) == (48, 64)


class Samples:
    """A map-style data set of given samples."""

    def __init__(self, *samples: Any) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Any:
        return self.samples[index]


@pytest.mark.parametrize(
    ("sample", "keys"),
    [
        (scene(), ["proposals", "proposal_scores"]),
        ((scene(), None), ["proposals", "proposal_scores"]),
        ((scene(),), ["proposals", "proposal_scores"]),  # of a TensorDataset of images
        ([scene(), {"labels": 1}], ["labels", "proposals", "proposal_scores"]),
        ((scene(), 5), ["target", "proposals", "proposal_scores"]),
        ((scene(), [{"bbox": [0, 0, 5, 5]}]), ["target", "proposals", "proposal_scores"]),
        ((scene(), {}, "name", 7), ["proposals", "proposal_scores"]),
    ],
)
def test_samples(sample: Any, keys: list[str], tmp_path: Path) -> None:
    image, target, *others = ProposalDataset(Samples(sample), tmp_path)[0]
    assert image is (sample if isinstance(sample, np.ndarray) else sample[0])
    assert list(target) == keys
    assert others == (list(sample[2:]) if isinstance(sample, tuple) else [])
    assert_equal(target["proposals"], target["proposal_scores"], proposer.selective_search(scene()))


def test_samples_that_are_dicts(tmp_path: Path) -> None:
    given = {"pixels": scene(), "id": 4}
    dataset = ProposalDataset(Samples(given), tmp_path, image_key="pixels")
    sample = dataset[0]
    assert list(given) == ["pixels", "id"]
    assert list(sample) == ["pixels", "id", "proposals", "proposal_scores"]
    seen = ProposalDataset(Samples(given), tmp_path, lambda sample: sorted(sample), image_key="pixels")[0]
    assert seen == ["id", "pixels", "proposal_scores", "proposals"]
    with pytest.raises(KeyError, match="want 'image'"):
        ProposalDataset(Samples(given), tmp_path)[0]


def test_samples_without_an_image(tmp_path: Path) -> None:
    for sample in ((), None):
        with pytest.raises(proposer.ImageError, match="^sample 0: image is None: want"):
            ProposalDataset(Samples(sample), tmp_path)[0]


def test_batches() -> None:
    assert collate([]) == ()
    assert collate([(1, 2), (3, 4)]) == ((1, 3), (2, 4))
    assert collate([{"a": 1, "b": 2}, {"b": 4, "a": 3}]) == {"a": (1, 3), "b": (2, 4)}


@pytest.mark.parametrize(
    ("samples", "error", "message"),
    [
        ([(1, 2), (3, 4, 5)], ValueError, "^samples of different kinds or lengths: "),
        ([(1, 2), {"a": 1, "b": 2}], ValueError, "^samples of different kinds or lengths: "),
        ([{"a": 1}, {"b": 2}], ValueError, "^samples with different keys: "),
        ([torch.zeros(3, 4, 5)], TypeError, "^sample of type Tensor: want a tuple or a dict$"),
        (["ab", "cd"], TypeError, "^sample of type str: "),
    ],
)
def test_wrong_batches(samples: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        collate(samples)


def test_transforms_follow_the_search(tmp_path: Path) -> None:
    def flip(image: Any, target: dict[str, Any]) -> Any:
        boxes = target["proposals"]
        boxes[:, [0, 2]] = image.shape[1] - boxes[:, [2, 0]]
        return image[:, ::-1], target

    dataset = ProposalDataset(Samples((scene(), {})), tmp_path, flip)
    for _ in range(2):  # the cache must not be flipped
        _, target = dataset[0]
        want = proposer.selective_search(scene()).boxes
        np.testing.assert_array_equal(target["proposals"][:, 0], 64 - want[:, 2])


def test_data_set(tmp_path: Path) -> None:
    data = Samples(*((scene(seed), {"id": seed}) for seed in range(4)))
    dataset = ProposalDataset(data, tmp_path / "a" / "b", max_boxes=9)
    assert len(dataset) == 4
    assert dataset[-1][1]["id"] == 3
    assert [target["id"] for _, target in dataset] == [0, 1, 2, 3]
    with pytest.raises(IndexError):
        dataset[4]
    batch = next(iter(torch.utils.data.DataLoader(dataset, batch_size=3, collate_fn=collate)))
    assert [target["id"] for target in batch[1]] == [0, 1, 2]
    assert len(torch.utils.data.Subset(dataset, [1, 2])) == 2
    assert "max_boxes=9" in repr(dataset)


def test_workers_share_the_cache(tmp_path: Path) -> None:
    data = Samples(*((scene(seed % 3), {"id": seed}) for seed in range(12)))
    loader = torch.utils.data.DataLoader(ProposalDataset(data, tmp_path), 2, num_workers=2, collate_fn=collate)
    for _ in range(2):
        targets = [target for _, batch in loader for target in batch]
        assert [target["id"] for target in targets] == list(range(12))
        for target in targets:
            want = proposer.selective_search(scene(target["id"] % 3))
            assert_equal(target["proposals"], target["proposal_scores"], want)
    assert len(list(tmp_path.rglob("*.npz"))) == 3


def test_wrong_data_sets(tmp_path: Path) -> None:
    class Stream(torch.utils.data.IterableDataset):  # type: ignore[misc,name-defined]
        def __iter__(self) -> Iterator[Any]:
            return iter([])

    for dataset in [Stream(), iter([1]), None]:
        with pytest.raises(TypeError, match="want a map-style data set$"):
            ProposalDataset(dataset, tmp_path)
    with pytest.raises(proposer.ImageError, match=r"^sample 1: image of shape \(5, 5, 2\): want "):
        ProposalDataset(Samples(scene(), np.zeros((5, 5, 2), np.uint8)), tmp_path)[1]


class Searches:
    """Counts the searches of proposer.torch."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        search = proposer.torch.search

        def counted(*arguments: Any) -> Any:
            self.count += 1
            return search(*arguments)

        monkeypatch.setattr(proposer.torch, "search", counted)


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> Searches:
    return Searches(monkeypatch)


def entry(folder: Path) -> Path:
    """Return the only file of a cache."""
    (path,) = (path for path in folder.rglob("*") if path.is_file())
    return path


def test_cache_is_used(searches: Searches, tmp_path: Path) -> None:
    for seed in [0, 1, 0, 1]:
        SelectiveSearch(cache_dir=tmp_path)(scene(seed))
    assert searches.count == 2
    # Equal pixels are the same image, and values the same option, in any form.
    SelectiveSearch(cache_dir=tmp_path)(PIL_Image.fromarray(scene()))
    SelectiveSearch("fast", cache_dir=str(tmp_path))(chw(scene()).float() / 255)
    SelectiveSearch(max_boxes=np.int64(2000), sigma=0.8, threads=1, cache_dir=tmp_path)(scene())
    assert searches.count == 2


@pytest.mark.parametrize(
    "options",
    [{"mode": "single"}, {"max_boxes": 3}, {"seed": 2}, {"sigma": 0.9}, {"channel_order": "bgr"}, {"colors": "RGB"}],
    ids=str,
)
def test_other_options_are_other_entries(options: dict[str, Any], searches: Searches, tmp_path: Path) -> None:
    SelectiveSearch(cache_dir=tmp_path)(scene())
    for _ in range(2):
        assert_equal(
            *SelectiveSearch(cache_dir=tmp_path, **options)(scene()), proposer.selective_search(scene(), **options)
        )
    assert searches.count == 2


def test_other_images_and_libraries_are_other_entries(
    searches: Searches, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    image = scene()
    changed = image.copy()
    changed[47, 63, 2] ^= 1
    gray = image[:, :, 0]
    for other in [image, changed, image.transpose(1, 0, 2), gray, gray.reshape(64, 48), png(image), png(changed)]:
        for _ in range(2):
            assert_equal(*SelectiveSearch(cache_dir=tmp_path)(other), proposer.selective_search(other))
    assert searches.count == 7
    monkeypatch.setattr(proposer.torch, "_library_hash", lambda: "of another library")
    SelectiveSearch(cache_dir=tmp_path)(image)
    assert searches.count == 8


def test_changed_files_are_other_entries(tmp_path: Path) -> None:
    transform = SelectiveSearch(cache_dir=tmp_path / "cache")
    path = tmp_path / "image.png"
    for seed in range(2):
        path.write_bytes(png(scene(seed)))
        os.utime(path, (0, 0))
        assert_equal(*transform(path), proposer.selective_search(scene(seed)))
    path.write_bytes(b"no image")
    with pytest.raises(proposer.ImageError, match="image.png"):
        transform(path)


def test_entries_are_npz_files(tmp_path: Path) -> None:
    SelectiveSearch(max_boxes=10, cache_dir=tmp_path)(scene())
    path = entry(tmp_path)
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask
    want = proposer.selective_search(scene(), max_boxes=10)
    with np.load(path, allow_pickle=False) as file:
        np.testing.assert_array_equal(file["boxes"], want.boxes)
        np.testing.assert_array_equal(file["scores"], want.scores)
        assert file["size"].tolist() == [48, 64]
        assert str(file["key"]) == path.stem
        assert "mode=fast" in str(file["options"]).split()


def test_results_of_the_cache_can_be_changed(tmp_path: Path) -> None:
    transform = SelectiveSearch(cache_dir=tmp_path)
    for _ in range(3):
        boxes, scores = transform(scene())
        assert_equal(boxes, scores, proposer.selective_search(scene()))
        boxes.zero_()
        scores.zero_()


def test_images_without_boxes(searches: Searches, tmp_path: Path) -> None:
    for _ in range(2):
        boxes, scores = SelectiveSearch(min_side=1000, cache_dir=tmp_path)(scene())
        assert boxes.shape == (0, 4) and scores.shape == (0,)
    assert searches.count == 1


def rewrite(path: Path, **changes: Optional[Any]) -> None:
    """Replace arrays of a file, or remove those that are None."""
    with np.load(path) as file:
        arrays = {**file, **changes}
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})


def npy_header(shape: str, dtype: str = "<i4") -> bytes:
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header


def with_member(path: Path, name: str, data: bytes) -> None:
    with np.load(path) as file:
        arrays = {key: value for key, value in file.items() if key != name}
    np.savez_compressed(path, **arrays)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name + ".npy", data)


def pickled(path: Path) -> None:
    class Touch:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(path.parent.parent / "executed"),)

    np.savez(path, boxes=np.array([Touch()], object), scores=np.ones(1, np.float32))


DAMAGES = {
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("not an archive"),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "no boxes": lambda path: rewrite(path, boxes=None),
    "wrong key": lambda path: rewrite(path, key=np.array("0" * 64)),
    "key of numbers": lambda path: rewrite(path, key=np.arange(3)),
    "floats": lambda path: rewrite(path, boxes=np.ones((1, 4))),
    "other lengths": lambda path: rewrite(path, scores=np.ones(1, np.float32)),
    "empty box": lambda path: rewrite(path, boxes=np.zeros((1, 4), np.int32), scores=np.ones(1, np.float32)),
    "box outside": lambda path: rewrite(
        path, boxes=np.array([[0, 0, 65, 48]], np.int32), scores=np.ones(1, np.float32)
    ),
    "order": lambda path: rewrite(path, scores=np.load(path)["scores"][::-1]),
    "NaN": lambda path: rewrite(path, scores=np.full_like(np.load(path)["scores"], np.nan)),
    "size": lambda path: rewrite(path, size=np.array([48], np.int32)),
    "pickle": pickled,
    "bomb": lambda path: with_member(path, "boxes", bytes(1 << 27)),
    "huge shape": lambda path: with_member(path, "boxes", npy_header("(1000000000000, 4)")),
    "negative shape": lambda path: with_member(path, "boxes", npy_header("(-1, 4)")),
    "deep header": lambda path: with_member(path, "boxes", npy_header("(" * 3000 + ")" * 3000)),
    "folder": lambda path: (path.unlink(), path.mkdir()),
    "dangling link": lambda path: (path.unlink(), path.symlink_to("missing")),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_entries_are_replaced(damage: str, searches: Searches, tmp_path: Path) -> None:
    transform = SelectiveSearch(max_boxes=20, cache_dir=tmp_path)
    want = proposer.selective_search(scene(), max_boxes=20)
    transform(scene())
    path = entry(tmp_path)
    DAMAGES[damage](path)
    with warnings.catch_warnings():
        if damage == "folder":  # cannot be replaced
            warnings.simplefilter("ignore", RuntimeWarning)
        for _ in range(2):
            assert_equal(*transform(scene()), want)
    assert searches.count == (3 if damage == "folder" else 2)
    assert not (tmp_path / "executed").exists()
    assert not list(tmp_path.glob("*.part"))


def test_changed_bytes_of_entries_change_no_result(tmp_path: Path) -> None:
    transform = SelectiveSearch(max_boxes=20, cache_dir=tmp_path)
    want = proposer.selective_search(scene(), max_boxes=20)
    transform(scene())
    path = entry(tmp_path)
    good = path.read_bytes()
    draw = random.Random(0)
    damaged = [good[:length] for length in range(0, len(good), 41)]
    for _ in range(300):
        changed = bytearray(good)
        for _ in range(draw.choice([1, 1, 2, 8])):
            changed[draw.randrange(len(good))] = draw.randrange(256)
        damaged.append(bytes(changed))
    for data in damaged:
        path.write_bytes(data)
        assert_equal(*transform(scene()), want)


def test_entries_that_cannot_be_written(searches: Searches, tmp_path: Path) -> None:
    transform = SelectiveSearch(cache_dir=tmp_path)
    transform(scene())
    folder = entry(tmp_path).parent
    entry(tmp_path).unlink()
    folder.rmdir()
    folder.write_text("a file instead of the folder")
    with pytest.warns(RuntimeWarning, match="the proposals cannot be stored") as seen:
        for _ in range(3):
            assert_equal(*transform(scene()), proposer.selective_search(scene()))
    assert len(seen) == 1
    assert searches.count == 4
    assert not list(tmp_path.glob("*.part"))


def test_large_entries_are_not_written(
    searches: Searches, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(proposer.torch, "_MAX_ENTRY", 1000)
    transform = SelectiveSearch(cache_dir=tmp_path)
    with pytest.warns(RuntimeWarning, match="boxes: want at most 25$"):
        for _ in range(2):
            assert_equal(*transform(scene()), proposer.selective_search(scene()))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_folder_that_cannot_be_created(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError):
        SelectiveSearch(cache_dir=tmp_path / "file")


def test_interrupted_writes_leave_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        SelectiveSearch(cache_dir=tmp_path)(scene())
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_unfinished_files_are_removed(tmp_path: Path) -> None:
    old, new = tmp_path / ("1" * 32 + ".part"), tmp_path / ("2" * 32 + ".part")
    others = [tmp_path / "1.txt", tmp_path / "film.part", tmp_path / ("1" * 33 + ".part")]
    for path in [old, new, *others]:
        path.touch()
    for path in [old, *others]:
        os.utime(path, (time.time() - 2 * 24 * 60 * 60,) * 2)
    SelectiveSearch(cache_dir=tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([new, *others])


def test_names_of_folders(tmp_path: Path) -> None:
    with pytest.raises(proposer.OptionError, match="^cache_dir is empty: want a folder, or None$"):
        SelectiveSearch(cache_dir="")
    SelectiveSearch(cache_dir=os.fsencode(tmp_path / "bytes"))(scene())  # type: ignore[arg-type]
    assert entry(tmp_path / "bytes")


def test_many_processes_use_a_folder(tmp_path: Path) -> None:
    code = """
import sys
sys.path.insert(0, sys.argv[2])
from test_torch import SelectiveSearch, assert_equal, proposer, scene
transform = SelectiveSearch("single", max_boxes=50, cache_dir=sys.argv[1])
for _ in range(2):
    for seed in range(10):
        assert_equal(*transform(scene(seed)), proposer.selective_search(scene(seed), "single", max_boxes=50))
"""
    arguments = [sys.executable, "-c", code, str(tmp_path), str(Path(__file__).parent)]
    processes = [subprocess.Popen(arguments) for _ in range(3)]
    assert [process.wait(600) for process in processes] == [0] * 3
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 10 and all(path.suffix == ".npz" for path in files)


def test_torch_is_imported_here_alone() -> None:
    code = "import proposer, sys; print(any(name.split('.')[0] in ('torch', 'PIL', 'tqdm') for name in sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True)
    assert result.stdout == "False\n"


def test_example_trains_a_detector(tmp_path: Path) -> None:
    pytest.importorskip("torchvision")
    script = Path(__file__).parents[1] / "examples" / "fast_rcnn.py"
    result = subprocess.run(
        [sys.executable, str(script), "--steps", "2", "--workers", "0", "--cache", str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    trained, found = result.stdout.splitlines()
    assert trained.startswith("step 2: loss ")
    assert found.endswith(" of 40 shapes found")
    assert len(list(tmp_path.rglob("*.npz"))) == 28  # of 2 x 4 training images and 20 others
