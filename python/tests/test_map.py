"""Tests of proposer.map."""

from __future__ import annotations

import io
import itertools
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import proposer
import pytest
from conftest import draw, png
from numpy.typing import NDArray
from test_library import HANG, PRELUDE, needs_fork, needs_signals, run
from test_search import assert_equal

WORKERS = [1, 2, 3, 8]


def images(n: int) -> list[NDArray[np.uint8]]:
    """Return images of different sizes, the larger ones first."""
    return [draw(seed, 90 - 4 * seed, 100) for seed in range(n)]


def map_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "proposer.map"]


@pytest.mark.parametrize("workers", [0, *WORKERS])
def test_results_come_in_order(workers: int) -> None:
    options: dict[str, Any] = {"mode": "single", "max_boxes": 100, "masks": True}
    expected = [proposer.selective_search(image, **options) for image in images(12)]
    results = list(proposer.map(iter(images(12)), workers=workers, **options))
    assert len(results) == 12
    for a, b in zip(results, expected):
        assert_equal(a, b)
    assert not map_threads()


def test_no_images() -> None:
    assert list(proposer.map([])) == []


@pytest.mark.parametrize("workers", WORKERS)
def test_few_images_are_taken_ahead(workers: int) -> None:
    taken = 0

    def source() -> Iterator[NDArray[np.uint8]]:
        nonlocal taken
        for seed in itertools.count():
            taken += 1
            yield draw(seed % 5, 30, 40)

    results = proposer.map(source(), workers=workers)
    assert taken == 0
    for i in range(30):
        next(results)
        assert i < taken <= i + 2 * workers
    results.close()
    assert list(results) == []
    assert taken <= 30 + 2 * workers
    assert not map_threads()


@pytest.mark.parametrize("workers", WORKERS)
def test_error_of_the_source_comes_after_the_results_before_it(workers: int) -> None:
    def source() -> Iterator[NDArray[np.uint8]]:
        yield from images(5)
        raise KeyError("no more")

    results = proposer.map(source(), workers=workers)
    assert [next(results).height for _ in range(5)] == [90, 86, 82, 78, 74]
    with pytest.raises(KeyError, match="no more"):
        next(results)
    assert list(results) == []
    assert not map_threads()


WRONG: list[tuple[Any, type[Exception], str]] = [
    (np.zeros((5, 5, 2), np.uint8), proposer.ImageError, r"^image 3: image of shape \(5, 5, 2\): want"),
    (b"farbfeld", proposer.ImageError, "^image 3: a farbfeld image: convert it to PNG$"),
    (np.zeros((70_000, 1), np.uint8), proposer.LimitError, r"^image 3: image of shape \(70000, 1\): want"),
    ("missing.png", FileNotFoundError, "missing.png"),
]


@pytest.mark.parametrize(("image", "error", "message"), WRONG)
def test_wrong_image_ends_the_iteration(image: Any, error: type[Exception], message: str) -> None:
    results = proposer.map([*images(3), image, *images(3)], workers=2)
    for _ in range(3):
        next(results)
    with pytest.raises(error, match=message):
        next(results)
    assert list(results) == []


@pytest.mark.parametrize(("image", "error", "message"), WRONG)
def test_error_of_a_wrong_image_is_returned(image: Any, error: type[Exception], message: str) -> None:
    results = list(proposer.map([*images(3), image, *images(2)], workers=2, on_error="return"))
    assert [isinstance(result, proposer.Proposals) for result in results] == [True, True, True, False, True, True]
    assert isinstance(results[3], error)


def test_invalid_options() -> None:
    for options, message in [
        ({"workers": -1}, "^workers -1: want a whole number from 0$"),
        ({"workers": 1.5}, "^workers 1.5: want"),
        ({"on_error": "skip"}, """^on_error 'skip': want "raise" or "return"$"""),
        ({"max_pixels": 0}, "^max_pixels 0: want"),
        ({"k": {}}, "^k {}: want a number or a text$"),
    ]:
        with pytest.raises(proposer.OptionError, match=message):
            proposer.map(images(1), **options)  # type: ignore[call-overload]
    for name in ("threads", "image", "no_such_option"):
        with pytest.raises(TypeError, match=name):
            proposer.map(images(1), **{name: 1})  # type: ignore[call-overload]
    with pytest.raises(TypeError):
        proposer.map(5)  # type: ignore[call-overload]
    with pytest.raises(proposer.OptionError, match='^mode "swift": want'):
        next(proposer.map(images(1), mode="swift", on_error="return"))


def test_one_image_in_the_place_of_many() -> None:
    one: list[Any] = ["photo.jpg", Path("photo.jpg"), b"GIF89a"]
    one += [np.zeros((9, 8), np.uint8), draw(1), draw(1)[..., [0, 1, 2, 2]]]
    try:
        import torch
    except ImportError:
        pass
    else:
        one.append(torch.zeros(3, 8, 9))
    try:
        import PIL.Image
    except ImportError:
        pass
    else:
        one.append(PIL.Image.fromarray(draw(1)))
    for image in one:
        with pytest.raises(proposer.ImageError, match="^images of (type|shape) .*: this is one image, want an"):
            proposer.map(image)
    for stack in (np.stack([draw(1), draw(2)]), np.stack([draw(1)[..., 0], draw(2)[..., 0]])):
        assert [found.width for found in proposer.map(stack)] == [160, 160]


def test_an_open_pil_image_that_is_given_several_times() -> None:
    pil = pytest.importorskip("PIL.Image")
    data = png(draw(1))
    expected = proposer.selective_search(data)
    for _ in range(5):
        image = pil.open(io.BytesIO(data))  # its pixels are not read yet
        for found in proposer.map([image] * 6, workers=6):
            assert_equal(found, expected)


def test_dropped_iterators_end_their_threads() -> None:
    results = proposer.map(itertools.cycle(images(3)), workers=3)
    next(results)
    threads = map_threads()
    assert len(threads) == 3
    del results
    for thread in threads:
        thread.join(HANG)
        assert not thread.is_alive()


def test_warnings_name_the_image_and_the_line_of_the_loop() -> None:
    pil = pytest.importorskip("PIL.Image")
    dark = pil.fromarray(draw(1)[..., 0].astype(np.uint16))
    with pytest.warns(UserWarning, match="^image 1: PIL image .*: samples from .* of 256 levels") as caught:
        for _ in proposer.map([draw(1), dark]):
            pass
    assert caught[0].filename == __file__


def test_progress(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tqdm")
    list(proposer.map(images(3), progress=True))
    assert "3/3" in capsys.readouterr().err


def test_progress_without_tqdm(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    assert len(list(proposer.map(images(3), progress=True))) == 3
    assert capsys.readouterr().err == ""


@needs_signals
@pytest.mark.parametrize("where", ["waiting", "taking"])
def test_interrupt(where: str, tmp_path: Path) -> None:
    """SIGINT ends all searches, of which one would take minutes, while the iterator waits or takes an image."""
    code = """
        large = np.random.default_rng(1).integers(0, 256, (1500, 1500, 3)).astype(np.uint8)
        library = _library.library()
        search = library.proposer_search
        statuses = []
        begins = threading.Semaphore(0)

        def search_loudly(*args):
            begins.release()
            statuses.append(search(*args))
            return statuses[-1]

        library.proposer_search = search_loudly

        def source():
            yield large
            yield large
            if sys.argv[1] == "taking":
                begins.acquire()
                begins.acquire()
                print("ready", flush=True)
                while True:
                    threading.Event().wait(0.01)  # a signal to another thread does not end a wait

        def ready():
            begins.acquire()
            begins.acquire()
            print("ready", flush=True)

        if sys.argv[1] == "waiting":
            threading.Thread(target=ready).start()
        try:
            for _ in proposer.map(source(), workers=2, mode="quality", min_size=1):
                pass
        except KeyboardInterrupt:
            for thread in threading.enumerate():
                if thread.name == "proposer.map":
                    thread.join()
            print("interrupted", statuses)
        """
    command = [sys.executable, "-c", PRELUDE + textwrap.dedent(code), where]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.read() == "interrupted [4, 4]\n"
        assert process.wait(HANG) == 0


def test_interrupt_while_a_thread_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Thread.start
    started: list[threading.Thread] = []

    def interrupted(thread: threading.Thread) -> None:
        start(thread)
        started.append(thread)
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        next(proposer.map(images(3)))
    for thread in started:
        thread.join(HANG)
        assert not thread.is_alive()
    assert len(started) == 1


def test_program_ends_with_an_iterator_that_is_not_used_up() -> None:
    out = run(
        """
        import itertools
        large = np.random.default_rng(1).integers(0, 256, (2000, 2000, 3)).astype(np.uint8)
        results = proposer.map(itertools.chain([draw(1)], itertools.repeat(large)), mode="quality", min_size=1)
        print(len(next(results)) > 0)
        """
    )
    assert out == "True\n"


@needs_fork
def test_iterator_of_the_parent_is_an_error_after_a_fork() -> None:
    run(
        """
        import itertools
        results = proposer.map(itertools.repeat(draw(1)))
        next(results)

        def child():
            global results
            for _ in range(2):
                try:
                    next(results)
                except proposer.Error as err:
                    assert "after a fork" in str(err)
                else:
                    sys.exit(1)
            results.close()
            del results
            assert len(list(proposer.map([draw(1)] * 3))) == 3

        check(child)
        next(results)
        """
    )


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the processors of a process cannot be set")
def test_workers_are_as_many_as_processors() -> None:
    out = run(
        """
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        results = proposer.map([draw(1)] * 5)
        next(results)
        print(sum(thread.name == "proposer.map" for thread in threading.enumerate()))
        """
    )
    assert out == "1\n"


@pytest.mark.parametrize("workers", WORKERS)
def test_each_result_goes_to_one_of_the_threads_that_iterate(workers: int) -> None:
    count = 100
    results = proposer.map((np.zeros((20, 30 + i), np.uint8) for i in range(count)), workers=workers, mode="single")
    widths: list[int] = []
    threads = [threading.Thread(target=lambda: widths.extend(p.width for p in results)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG)
    assert sorted(widths) == [30 + i for i in range(count)]


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("before", [0, 1, 5])
def test_another_thread_ends_the_iteration(workers: int, before: int) -> None:
    taken = threading.Event()
    seen: list[proposer.Proposals] = []

    def endless() -> Iterator[NDArray[np.uint8]]:
        for i in itertools.count():
            if i == before:
                taken.set()
            yield draw(i % 5, 200, 300)

    results = proposer.map(endless(), workers=workers, mode="quality")
    thread = threading.Thread(target=lambda: seen.extend(results), daemon=True)
    thread.start()
    assert taken.wait(HANG)
    results.close()
    thread.join(HANG)
    assert not thread.is_alive()
    assert next(results, None) is None


def test_images_that_need_their_own_results() -> None:
    """As a generator that calls next of itself; a signal handler gets the same error."""

    def source() -> Iterator[Any]:
        yield draw(1)
        yield next(results)

    results = proposer.map(source(), workers=1, mode="single")
    assert_equal(next(results), proposer.selective_search(draw(1), mode="single"))
    with pytest.raises(ValueError, match="^proposer.map is already executing in this thread$"):
        next(results)


def test_workers_of_numpy() -> None:
    assert len(list(proposer.map(images(2), workers=np.int64(2), mode="single"))) == 2  # type: ignore[call-overload]
