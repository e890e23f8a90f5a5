"""Compare proposer with OpenCV and scikit-image in one process, on the same images.

    PYTHONPATH=python python3 python/benchmarks/compare.py FOLDER

prints a section of Markdown; ``--update docs/migrating.md`` replaces that section of the file. The
engines take turns on each image, and the first to run changes. Decoding is not measured.
selectivesearch and dlib are measured as well if they can be imported.
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import os
import pathlib
import platform
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
import skimage
from skimage.segmentation import felzenszwalb

import proposer
import proposer.cv2
from proposer import _library

HEADING = "## Speed"
FELZENSZWALB = {"scale": 300, "sigma": 0.8, "min_size": 20}


class Image(NamedTuple):
    """An image in the channel orders that the engines want."""

    rgb: np.ndarray[Any, Any]
    bgr: np.ndarray[Any, Any]


Run = Callable[[Image], object]


class Comparison(NamedTuple):
    """Functions of ours, by name, that are timed beside a peer's on the same images."""

    ours: dict[str, Run]
    peer: str
    run_peer: Run
    images: int  # at most


class Row(NamedTuple):
    """What was measured: medians in seconds, and the quartiles of peer's time / our time."""

    ours: str
    peer: str
    images: int
    our_time: float
    peer_time: float
    quartiles: tuple[float, float, float]


def opencv(module: Any, switch: str) -> Run:
    """Return a function that searches as OpenCV's documentation shows, with cv2 or proposer.cv2."""

    def run(image: Image) -> object:
        search = module.ximgproc.segmentation.createSelectiveSearchSegmentation()
        search.setBaseImage(image.bgr)
        getattr(search, switch)()
        return search.process()

    return run


def search(mode: str) -> Run:
    """Return a function that searches on one thread and keeps all boxes."""
    return lambda image: proposer.selective_search(image.rgb, mode=mode, max_boxes=0, threads=1)


def comparisons(images: int) -> list[Comparison]:
    """Return what is compared. A peer that takes seconds gets fewer images."""
    found = []
    for mode, switch, count in [
        ("single", "switchToSingleStrategy", images),
        ("fast", "switchToSelectiveSearchFast", images),
        ("quality", "switchToSelectiveSearchQuality", max(1, images // 3)),
    ]:
        ours = {
            f"`proposer.cv2`, `{switch}`": opencv(proposer.cv2, switch),
            f"`selective_search`, mode `{mode}`": search(mode),
        }
        found.append(Comparison(ours, f"OpenCV, `{switch}`", opencv(cv2, switch), count))
    found.append(
        Comparison(
            {
                "`proposer.felzenszwalb`": lambda image: proposer.felzenszwalb(image.rgb, **FELZENSZWALB, threads=1),
                f"`proposer.felzenszwalb`, {os.cpu_count()} threads": lambda image: proposer.felzenszwalb(
                    image.rgb, **FELZENSZWALB
                ),
                "`proposer.segment`": lambda image: proposer.segment(image.rgb, 300, 0.8, 20, threads=1),
            },
            "scikit-image, `felzenszwalb`",
            lambda image: felzenszwalb(image.rgb, **FELZENSZWALB),
            images,
        )
    )
    if selectivesearch := importable("selectivesearch"):
        compat = importlib.import_module("proposer.compat.selectivesearch")
        options = {"scale": 500, "sigma": 0.9, "min_size": 10}  # those of its README
        found.append(
            Comparison(
                {"`proposer.compat.selectivesearch`": lambda image: compat.selective_search(image.rgb, **options)},
                "selectivesearch",
                lambda image: selectivesearch.selective_search(image.rgb, **options),
                max(1, images // 3),
            )
        )
    if dlib := importable("dlib"):
        found.append(
            Comparison(
                {"`selective_search`, mode `fast`": search("fast")},
                "dlib, `find_candidate_object_locations`",
                lambda image: dlib.find_candidate_object_locations(image.rgb, [], min_size=20),
                images,
            )
        )
    return found


def importable(name: str) -> Any:
    """Return a module, or None if there is none."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def seconds(run: Callable[[], object]) -> float:
    """Return how long a call takes. The result is released outside of the measured time."""
    start = time.perf_counter()
    result = run()
    elapsed = time.perf_counter() - start
    del result
    return elapsed


def compare(comparison: Comparison, images: Sequence[Image], rounds: int) -> list[Row]:
    """Time the functions in turns. An image's time is the median of its rounds."""
    chosen = evenly_spaced(images, comparison.images)
    runs = [*comparison.ours.values(), comparison.run_peer]
    for run in runs:  # warm up
        run(chosen[0])
    times = np.empty((len(runs), len(chosen), rounds))
    for turn in range(rounds):
        for i, image in enumerate(chosen):
            for step in range(len(runs)):
                which = (step + i + turn) % len(runs)
                runs[which](image)  # not timed: the other engines have used the memory and the caches
                times[which, i, turn] = seconds(lambda run=runs[which], image=image: run(image))
    *ours, peer = np.median(times, axis=2)
    rows = []
    for name, time_ in zip(comparison.ours, ours):
        low, ratio, high = np.percentile(peer / time_, [25, 50, 75])
        rows.append(Row(name, comparison.peer, len(chosen), np.median(time_), np.median(peer), (low, ratio, high)))
    return rows


def evenly_spaced(items: Sequence[Any], count: int) -> list[Any]:
    """Return at most count items, evenly spaced."""
    count = min(count, len(items))
    return [items[i * len(items) // count] for i in range(count)]


def equal_labels(images: Sequence[Image]) -> int:
    """Return the number of images whose labels are equal to those of scikit-image."""
    return sum(
        np.array_equal(proposer.felzenszwalb(image.rgb, **FELZENSZWALB), felzenszwalb(image.rgb, **FELZENSZWALB))
        for image in images
    )


class Map(NamedTuple):
    """Seconds for all images with `proposer.map`, by number of workers."""

    images: int
    one: float
    two: float


def compare_map(images: Sequence[Image], rounds: int) -> Map:
    """Time `proposer.map` with one and two workers in turns."""
    arrays = [image.rgb for image in images]
    times: dict[int, list[float]] = {1: [], 2: []}
    for turn in range(rounds):
        for workers in (1, 2) if turn % 2 else (2, 1):
            times[workers].append(seconds(lambda w=workers: list(proposer.map(arrays, workers=w))))
    return Map(len(arrays), float(np.median(times[1])), float(np.median(times[2])))


def overhead(calls: int = 200) -> tuple[float, float]:
    """Return the medians, at 640×480 pixels, of a call's time and of its part outside of the C library.

    Both are measured in the same call, so that the differences between searches cancel out.
    """
    image = np.random.default_rng(1).integers(0, 256, (480, 640, 3), np.uint8)
    image = cv2.GaussianBlur(image, (0, 0), 8)
    library = _library.library()
    function = library.proposer_search
    inside = []

    def timed(*arguments: object) -> object:
        start = time.perf_counter()
        try:
            return function(*arguments)
        finally:
            inside.append(time.perf_counter() - start)

    library.proposer_search = timed
    try:
        total = [
            seconds(lambda: proposer.selective_search(image, mode="single", threads=1)) for _ in range(calls)
        ]
    finally:
        library.proposer_search = function
    return float(np.median(total)), float(np.median(np.subtract(total, inside)))


def number(value: float) -> str:
    """Format a number with three significant digits, or all digits before the decimal point."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def section(rows: Sequence[Row], equal: int, mapped: Map, call: tuple[float, float], images: str) -> str:
    """Return the section of Markdown."""
    lines = [
        HEADING,
        "",
        f"Written by `make bench-python` on {datetime.date.today()}, on {images}:",
        f"{machine()}; proposer {_library.library().proposer_version().decode()}, OpenCV {cv2.__version__},",
        f"scikit-image {skimage.__version__}, NumPy {np.__version__}, Python {platform.python_version()}.",
        "",
        "All engines work in one process and take turns on the same images, on one thread if nothing else is",
        "said. The second of two calls is timed, without decoding. Times are medians over the images; the speed",
        "ratio is the median, with quartiles, of the ratios of the single images. `proposer.cv2` does the work that",
        "OpenCV does; the modes `single`, `fast` and `quality` are the paper's, which find more boxes",
        "([modes](../README.md#modes)).",
        "",
        "| proposer | ms | other | ms | speed ratio | quartiles | images |",
        "|---|---:|---|---:|---:|---|---:|",
    ]
    for row in rows:
        low, ratio, high = row.quartiles
        lines.append(
            f"| {row.ours} | {number(row.our_time * 1e3)} | {row.peer} | {number(row.peer_time * 1e3)} "
            f"| {number(ratio)}× | {number(low)}–{number(high)} | {row.images} |"
        )
    settings = ", ".join(f"`{name}={value}`" for name, value in FELZENSZWALB.items())
    total, outside = call
    lines += [
        "",
        f"- `felzenszwalb` with {settings}: equal labels on {equal} of {mapped.images} images.",
        f"- `proposer.map` on {mapped.images} images: {number(mapped.one)} s with one worker,"
        f" {number(mapped.two)} s with two ({number(mapped.one / mapped.two)}×).",
        f"- Time of a call outside of the C library, at 640×480 pixels: {number(outside * 1e3)} ms"
        f" of {number(total * 1e3)} ms (median of 200 calls in mode `single`).",
        "",
    ]
    return "\n".join(lines)


def machine() -> str:
    """Return the processor and the number of cores."""
    model = platform.machine()
    try:
        with open("/proc/cpuinfo") as lines:
            model = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return f"{model}, {os.cpu_count()} cores"


def update(file: pathlib.Path, text: str) -> None:
    """Replace the section of a file, which is its last one."""
    before, heading, _ = file.read_text().partition(HEADING + "\n")
    if not heading:
        raise SystemExit(f"{file}: no section {HEADING!r}")
    file.write_text(before + text)


def load(file: pathlib.Path) -> Image | None:
    """Read an image; None if OpenCV cannot."""
    bgr = cv2.imread(str(file))
    return None if bgr is None else Image(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), bgr)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path, help="folder of images")
    parser.add_argument("-n", type=int, default=24, help="number of images, evenly spaced (%(default)s)")
    parser.add_argument("--rounds", type=int, default=2, help="times that an image is measured (%(default)s)")
    parser.add_argument("--update", type=pathlib.Path, metavar="FILE", help="replace the last section of FILE")
    arguments = parser.parse_args()

    files = sorted(path for path in arguments.folder.iterdir() if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    images = [image for file in evenly_spaced(files, arguments.n) if (image := load(file))]
    if not images:
        raise SystemExit(f"{arguments.folder}: no image that OpenCV can read")

    proposer.cv2.setNumThreads(1)  # also sets that of OpenCV
    rows = []
    for comparison in comparisons(len(images)):
        for row in compare(comparison, images, arguments.rounds):
            rows.append(row)
            print(f"{row.ours}: {number(row.quartiles[1])}× {row.peer}", file=sys.stderr)
    mapped = compare_map(images, 5)
    folder = "/".join(arguments.folder.resolve().parts[-2:])
    text = section(rows, equal_labels(images), mapped, overhead(), f"{len(images)} images of `{folder}`")
    if arguments.update:
        update(arguments.update, text)
    else:
        print(text, end="")


if __name__ == "__main__":
    main()
