"""Tests of calls of the C library: hostile arrays, signals, threads, memory and forks.

What could crash or hang runs in a process of its own. Their time limits are for hangs only.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import proposer
import pytest
from conftest import draw
from numpy.typing import NDArray
from proposer import _library
from proposer._search import SearchOptions, search
from test_search import assert_equal

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
needs_signals = pytest.mark.skipif(sys.platform == "win32", reason="SIGINT cannot be sent to a process")

HANG = 300  # seconds


def run(code: str, *args: str) -> str:
    """Run Python code in another process, and return what it prints."""
    command = [sys.executable, "-X", "faulthandler", "-c", PRELUDE + textwrap.dedent(code), *args]
    done = subprocess.run(command, capture_output=True, text=True, timeout=HANG)
    assert done.returncode == 0, done.stderr
    return done.stdout


PRELUDE = f"""
import os, signal, sys, threading
sys.path.insert(0, {str(Path(__file__).parent)!r})
import numpy as np, proposer
from conftest import draw
from proposer import _library

def check(child):
    "Run a function in a child and exit with 1 unless the child exits with 0."
    pid = os.fork()
    if pid == 0:
        try:
            child()
            os._exit(0)
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
    if os.waitpid(pid, 0)[1] != 0:
        sys.exit(1)
"""


def test_random_arrays() -> None:
    """10,000 random arrays and options give proposals or an error of the package."""
    out = run(
        """
        from numpy.lib.stride_tricks import as_strided

        random = np.random.default_rng(23)
        dtypes = [np.uint8] * 8 + [np.float16, np.float32, np.float64, ">f8", np.longdouble, bool, np.int8, np.uint16]
        dtypes += [np.int32, np.uint64, complex, object, "S3", "U2", "M8[s]", "m8[D]", [("a", "u1"), ("b", "f4")], "V5"]
        sides = [0, 1, 1, 2, 3, 4, 5, 7, 16, 33, 50]

        def array():
            dtype = np.dtype(dtypes[random.integers(len(dtypes))])
            shape = random.choice(sides, random.choice([0, 1, 2, 2, 3, 3, 3, 4])).tolist()
            if len(shape) == 3 and random.random() < 0.8:
                shape[2] = int(random.choice([3, 4]))
            if dtype.kind == "f":
                image = random.random(shape).astype(dtype)
                if image.size and random.random() < 0.5:
                    image.flat[random.integers(image.size)] = random.choice([np.nan, np.inf, -np.inf, -1e-9, 1.1, 300])
            elif dtype == object:
                image = np.full(shape, random.choice(np.array([None, 1, "x"], object)), object)
            else:
                size = int(np.prod(shape, dtype=int)) * dtype.itemsize
                image = np.frombuffer(random.bytes(size), dtype).reshape(shape) if size else np.zeros(shape, dtype)
            layout = random.integers(7)
            if layout == 0 and image.ndim:
                image = image[tuple(slice(None, None, int(random.choice([-2, -1, 1, 2]))) for _ in shape)]
            elif layout == 1:
                image = image.transpose(random.permutation(image.ndim))
            elif layout == 2:
                image = np.asfortranarray(image)
            elif layout == 3 and image.ndim < 4:
                image = np.broadcast_to(image, (int(random.choice([1, 3, 40, 70_000])), *image.shape))
            elif layout == 4 and image.size and not dtype.hasobject:  # overlapping elements, unaligned rows
                whole = np.zeros(4096, np.uint8)
                whole[:] = random.integers(0, 256, 4096)
                shape = [int(random.integers(1, 20)), int(random.integers(1, 20)), int(random.choice([3, 4]))]
                strides = random.integers(-30, 31, 3).tolist()
                if sum(abs(s) * (n - 1) for s, n in zip(strides, shape)) < 2000:
                    image = as_strided(whole[2048:], shape, strides)
            return image

        options = [{}] * 6 + [dict(channel_order="bgr"), dict(masks=True), dict(max_side=5), dict(resize_width=60)]
        options += [dict(min_size=1), dict(max_boxes=3), dict(mode="opencv-single", min_size=1), dict(order="paper")]
        options += [dict(sigma=0), dict(sigma=16), dict(k=[1e-300, 1e6]), dict(nms=0.5), dict(min_side=-1), dict(k="x")]
        found = errors = 0
        for _ in range(10_000):
            image = array()
            try:
                chosen = options[random.integers(len(options))]
                result = proposer.selective_search(image, **{"mode": "single", **chosen})
            except proposer.Error as err:
                errors += 1
                assert str(err), image
            else:
                found += 1
                assert (result.height, result.width) == image.shape[:2]
                x0, y0, x1, y1 = result.boxes.T
                assert ((0 <= x0) & (x0 < x1) & (x1 <= result.width)).all()
                assert ((0 <= y0) & (y0 < y1) & (y1 <= result.height)).all()
                assert (np.diff(result.scores) < 0).all()
        print(found, errors)
        """
    )
    found, errors = map(int, out.split())
    assert found + errors == 10_000
    assert found > 1000 and errors > 1000


@needs_signals
@pytest.mark.parametrize("kind", ["array", "file"])
def test_interrupted_search_is_canceled(kind: str) -> None:
    """SIGINT ends a search that would take minutes."""
    pytest.importorskip("PIL.Image")
    code = """
        import io
        from PIL import Image

        image = np.random.default_rng(1).integers(0, 256, (1500, 1500, 3)).astype(np.uint8)
        file = io.BytesIO()
        Image.fromarray(image).save(file, "BMP")
        given = image if sys.argv[1] == "array" else file.getvalue()
        name = "proposer_search" if sys.argv[1] == "array" else "proposer_search_file"
        library = _library.library()
        search = getattr(library, name)
        statuses = []

        def search_loudly(*args):
            print("begins", flush=True)
            statuses.append(search(*args))
            return statuses[-1]

        setattr(library, name, search_loudly)
        small = proposer.selective_search(draw(1))
        statuses.clear()
        try:
            while True:
                proposer.selective_search(given, "quality", 0, min_size=1)
        except KeyboardInterrupt:
            print("interrupted", statuses)
        again = proposer.selective_search(draw(1))
        assert (again.boxes == small.boxes).all()
        """
    command = [sys.executable, "-c", PRELUDE + textwrap.dedent(code), kind]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        if kind == "array":
            assert process.stdout.readline() == "begins\n"  # of the small image
        assert process.stdout.readline() == "begins\n"
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read().splitlines()
        assert process.wait(HANG) == 0
    assert [line for line in rest if line != "begins"] == ["interrupted [4]"]


def test_calls_at_the_end_of_the_program() -> None:
    """No thread begins when the interpreter ends, so the main thread must not wait for one."""
    out = run(
        """
        import ctypes
        from proposer._image import to_image

        class Last:
            def __init__(self):
                self.call, self.write = _library.call, os.write
                self.image = to_image(draw(1, 40, 50))
                self.result = ctypes.POINTER(_library.ResultStruct)()
                self.arguments = ctypes.byref(self.image.struct), b"mode=single", ctypes.byref(self.result)

            def __del__(self):
                self.call("proposer_search", *self.arguments)
                self.write(1, b"%d" % (self.result.contents.count > 0))

        _library.library()
        last = Last()
        """
    )
    assert out == "1"


@needs_signals
def test_exceptions_of_signal_handlers_end_a_search() -> None:
    run(
        """
        image = np.random.default_rng(1).integers(0, 256, (1500, 1500, 3)).astype(np.uint8)

        def handle(number, frame):
            raise TimeoutError

        signal.signal(signal.SIGALRM, handle)
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        try:
            while True:
                proposer.selective_search(image, "quality", 0, min_size=1)
        except TimeoutError:
            pass
        """
    )


def test_threads(scene: NDArray[np.uint8]) -> None:
    """Results and errors of 8 threads do not mix."""
    images = [draw(seed, 60, 80) for seed in range(8)]
    expected = [proposer.selective_search(image, masks=True) for image in images]
    start = threading.Barrier(8)

    def work(i: int) -> None:
        start.wait()
        for j in range(8):
            number = (i + j) % 8
            assert_equal(proposer.selective_search(images[number], masks=True), expected[number])
            with pytest.raises(proposer.OptionError, match=f'^mode "m{i}-{j}": want'):
                proposer.selective_search(images[number], mode=f"m{i}-{j}")

    with ThreadPoolExecutor(8) as pool:
        for future in [pool.submit(work, i) for i in range(8)]:
            future.result()


def test_memory_is_freed(scene: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch) -> None:
    """Every result and every token is freed once."""
    library = _library.library()
    created: list[int] = []
    freed: list[int] = []
    tokens: list[int] = []
    for name, log in [("proposer_token_new", created), ("proposer_token_free", tokens)]:
        original = getattr(library, name)

        def logged(*args: Any, original: Any = original, log: list[int] = log) -> Any:
            result = original(*args)
            log.append(result if result is not None else args[0])
            return result

        monkeypatch.setattr(library, name, logged)
    free = library.proposer_result_free
    monkeypatch.setattr(library, "proposer_result_free", lambda result: (freed.append(1), free(result)))
    for _ in range(10):
        proposer.selective_search(scene)
        with pytest.raises(proposer.OptionError):
            proposer.selective_search(scene, mode="none")
        with pytest.raises(proposer.ImageError):
            proposer.selective_search(b"GIF89a")
    assert len(freed) == 10
    assert len(created) == 30
    assert sorted(created) == sorted(tokens)


def test_token_cancels_calls_of_its_own(scene: NDArray[np.uint8]) -> None:
    limits = {"max_pixels": 100_000, "max_bytes": 100_000}
    options = SearchOptions({"max_boxes": 0, "masks": False, "channel_order": "rgb", **limits})
    token = _library.Token()
    token.cancel()
    with pytest.raises(proposer.Error, match="^the call was canceled$"):
        search(scene, options, token)


@needs_fork
def test_forked_processes_search() -> None:
    """Children of children search, whether their parents have searched or not."""
    run(
        """
        image = draw(1)
        expected = None

        def child(depth):
            global expected
            if depth != 1:
                found = proposer.selective_search(image, masks=True)
                if expected is not None:
                    assert found.boxes.tobytes() == expected.boxes.tobytes()
                    assert found.scores.tobytes() == expected.scores.tobytes() and found.masks == expected.masks
                expected = found
            if depth < 4:
                check(lambda: child(depth + 1))
                check(lambda: child(depth + 1))
                if depth != 1:
                    assert (proposer.selective_search(image).boxes == expected.boxes).all()

        check(lambda: child(1))
        child(0)
        """
    )


@needs_fork
def test_fork_during_a_search() -> None:
    run(
        """
        image = np.random.default_rng(1).integers(0, 256, (400, 400, 3)).astype(np.uint8)
        stop = threading.Event()

        def work():
            while not stop.is_set():
                proposer.selective_search(image)

        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        expected = proposer.selective_search(draw(1))
        for _ in range(5):
            check(lambda: (proposer.selective_search(draw(1)).boxes == expected.boxes).all() or sys.exit(1))
        stop.set()
        """
    )


@needs_fork
def test_fork_in_another_thread() -> None:
    run(
        """
        expected = proposer.selective_search(draw(1))
        failures = []

        def work():
            try:
                check(lambda: (proposer.selective_search(draw(1)).boxes == expected.boxes).all() or sys.exit(1))
            except BaseException as err:
                failures.append(err)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        sys.exit(len(failures))
        """
    )


@needs_fork
def test_tokens_of_the_parent_are_left_alone() -> None:
    run(
        """
        token = _library.Token()

        def child():
            global token
            token.cancel()
            del token
            proposer.selective_search(draw(1))

        check(child)
        """
    )


@needs_fork
@pytest.mark.parametrize("broken", ["_load_copy", "memfd_create", "both"])
def test_failure_to_load_a_copy_is_an_error(broken: str) -> None:
    """A child that cannot load the library again says so, and the parent goes on."""
    run(
        """
        import ctypes
        broken = sys.argv[1]
        proposer.selective_search(draw(1))
        if broken == "_load_copy":  # the loader returns the parent's instance
            _library._load_copy = lambda content: ctypes.CDLL(_library.library_path())
        else:
            def refuse(*args, **kwargs):
                raise OSError("forbidden")
            os.memfd_create = refuse
            if broken == "both":
                _library.tempfile.TemporaryDirectory = refuse

        def child():
            for _ in range(2):
                try:
                    proposer.selective_search(draw(1))
                except proposer.Error as err:
                    assert "which a process started by fork requires" in str(err), err
                    assert broken != "memfd_create", err
                else:
                    assert broken == "memfd_create"

        check(child)
        proposer.selective_search(draw(1))
        """,
        broken,
    )


def test_version() -> None:
    assert proposer.__version__ == _library.library().proposer_version().decode() != ""
    with pytest.raises(AttributeError, match="^module 'proposer' has no attribute 'no_such_name'$"):
        proposer.no_such_name


def test_missing_library(tmp_path: Path) -> None:
    package = tmp_path / "proposer"
    package.mkdir()
    for file in Path(proposer.__file__).parent.glob("*.py"):
        (package / file.name).write_bytes(file.read_bytes())
    code = "import numpy, proposer; proposer.selective_search(numpy.zeros((5, 5), numpy.uint8))"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}

    def error() -> str:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
        assert done.returncode == 1
        return done.stderr.splitlines()[-1]

    assert "does not exist: install the package from a wheel, or build the library with make lib" in error()
    for name in ("libproposer.so", "libproposer.dylib", "libproposer.dll"):
        (package / name).write_bytes(b"not a library")
    assert "cannot be loaded: " in error()
