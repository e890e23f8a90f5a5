"""Cases of processes that search, each run by test_fork.py in a Python of its own: fork_script.py CASE."""

from __future__ import annotations

import concurrent.futures
import ctypes
import hashlib
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
from typing import Any, Callable

import numpy as np
import proposer
from proposer import _library


def image(seed: int) -> Any:
    """Return an image with colored rectangles."""
    rng = np.random.default_rng(seed)
    pixels = np.full((96, 128, 3), 128, np.uint8)
    for x, y, width, height in rng.integers(8, 60, (6, 4)):
        pixels[y : y + height, x : x + width] = rng.integers(0, 256, 3)
    return pixels


def search(seed: int) -> str:
    """Return a hash of the proposals of an image."""
    found = proposer.selective_search(image(seed))
    return hashlib.sha256(found.boxes.tobytes() + found.scores.tobytes()).hexdigest()


def wait(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def in_child(work: Callable[[], Any]) -> Any:
    """Return what a function returns in a child of fork."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.write(write, repr(work()).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(write)
    with open(read, "rb") as results:
        result = results.read()
    status = wait(pid)
    assert status == 0, f"the child ended with {status}"
    return eval(result)


def nested(depth: int) -> list[str]:
    """Return the results of this process and of its descendants, each a child of the one before."""
    return [search(depth)] + (in_child(lambda: nested(depth - 1)) if depth else [])


def loader(method: str, searched: str) -> None:
    """Search in the workers of a data loader."""
    import torch
    from torch.utils.data import DataLoader

    from proposer.torch import SelectiveSearch

    transform = SelectiveSearch()
    if searched == "searched":
        search(0)
    # Without workers the parent searches.
    for workers in [2, 4, 0]:
        if searched == "unused" and workers:
            assert _library._library is None
        data = DataLoader(
            Images(transform),
            batch_size=None,
            num_workers=workers,
            multiprocessing_context=method if workers else None,
            persistent_workers=workers == 4,
        )
        for _ in range(2 if workers == 4 else 1):  # epochs
            results = []
            for boxes, scores in data:
                assert boxes.dtype == torch.float32
                boxes = boxes.numpy().astype(np.int32)
                results.append(hashlib.sha256(boxes.tobytes() + scores.numpy().tobytes()).hexdigest())
            print(workers, results)


class Images:
    """A data set of images and their proposals."""

    def __init__(self, transform: Callable[[Any], Any]) -> None:
        self.transform = transform

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> Any:
        return self.transform(image(index))


class Failing(Images):
    """A data set of which no image can be searched."""

    def __getitem__(self, index: int) -> Any:
        return self.transform(np.zeros((4, 4, 2), np.uint8))


class Exiting(Images):
    """A data set whose workers end."""

    def __getitem__(self, index: int) -> Any:
        super().__getitem__(index)
        os.kill(os.getpid(), signal.SIGKILL)


def loader_errors(method: str) -> None:
    """Let the workers of a data loader fail after the parent has searched."""
    from torch.utils.data import DataLoader

    from proposer.torch import SelectiveSearch

    search(0)
    for data in [Failing(SelectiveSearch()), Exiting(SelectiveSearch())]:
        try:
            list(DataLoader(data, batch_size=None, num_workers=2, multiprocessing_context=method))  # type: ignore
        except (proposer.ImageError, RuntimeError) as err:
            print(type(err).__name__, str(err).splitlines()[-1])
    print(search(1))


def pool(method: str, searched: str) -> None:
    """Search in a pool and in an executor."""
    if searched == "searched":
        search(0)
    context = multiprocessing.get_context(method)
    with context.Pool(2) as workers:
        print(workers.map(search, range(6)))
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as executor:
        print(list(executor.map(search, range(6))))


def fork_nested() -> None:
    """Search in each of many generations of processes."""
    print(nested(12))


def fork_late() -> None:
    """Fork in a child that has not searched, so that a generation has no library of its own."""
    search(0)
    print([search(1), *in_child(lambda: in_child(lambda: [search(2), *in_child(lambda: [search(3)])]))])


def fork_often() -> None:
    """Fork many children one after the other, before and after the first search."""
    results = [in_child(lambda: search(0)) for _ in range(20)]
    results += [search(0)]
    results += [in_child(lambda: search(0)) for _ in range(20)]
    print(sorted(set(results)))


def fork_in_c() -> None:
    """Fork without Python's functions that run before and after a fork."""
    search(0)
    pid = ctypes.PyDLL(None).fork()
    if pid == 0:
        print(search(1), flush=True)
        os._exit(0)
    print(wait(pid))
    print(search(0))


def exit_in_child() -> None:
    """End children in the usual way, with and without a search in them."""
    search(0)
    for status, in_the_child in [(5, search), (6, id)]:
        pid = os.fork()
        if pid == 0:
            in_the_child(0)
            sys.exit(status)
        print(wait(pid), flush=True)


def fork_in_thread() -> None:
    """Fork in a thread that is not the main thread."""
    search(0)
    results = []
    thread = threading.Thread(target=lambda: results.append(in_child(lambda: [search(1), *nested(2)])))
    thread.start()
    thread.join()
    print(results[0])


def fork_while_searching() -> None:
    """Fork while other threads search, and load the library."""
    stop = threading.Event()
    failures: list[BaseException] = []

    def work() -> None:
        try:
            while not stop.is_set():
                search(0)
        except BaseException as err:
            failures.append(err)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    results = {in_child(lambda: search(i % 3)) for i in range(30)}
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures, failures
    print(sorted(results))


def fork_in_handler(in_the_child: str) -> None:
    """Fork in a signal handler while the main thread waits for a call; the child goes on or exits."""
    search(0)
    parent = os.getpid()
    handled = threading.Event()
    child = 0

    def handle(*_: object) -> None:
        nonlocal child
        child = os.fork()
        if child == 0 and in_the_child == "exit":
            sys.exit(7)
        handled.set()

    def call() -> tuple[int, str]:  # in place of a call of the library
        os.kill(parent, signal.SIGUSR1)
        handled.wait()
        return 0, "the result"

    signal.signal(signal.SIGUSR1, handle)
    try:
        outcome = _library._run_interruptibly(call, _library.Token())[1]
    except proposer.Error as err:
        outcome = str(err)
    print(outcome, search(0), flush=True)
    if child:
        print(wait(child))


def map_in_parent() -> None:
    """Fork while the parent is in the middle of a map, and after it."""
    found = proposer.map(image(i) for i in range(6))
    next(found)

    def work() -> str:
        try:
            next(found)
        except proposer.Error as err:
            return str(err)
        return "a result"

    print(in_child(work))
    print(in_child(lambda: search(0)), len(list(found)), in_child(lambda: [search(i) for i in range(3)]))


def crash_in_child() -> None:
    """Read address 0, and be ended by SIGTERM, in a child that has a copy of the library."""
    search(0)
    for fault in [lambda: ctypes.string_at(0), lambda: os.kill(os.getpid(), signal.SIGTERM)]:
        pid = os.fork()
        if pid == 0:
            search(0)
            fault()
            os._exit(0)
        print(wait(pid))


def other_functions() -> None:
    """Call the other functions of the package, in the parent and in a child."""
    from proposer.compat.selectivesearch import selective_search

    def work() -> str:
        hashed = hashlib.sha256(proposer.segment(image(0)).tobytes())
        hashed.update(proposer.felzenszwalb(image(0)).tobytes())
        hashed.update(repr(selective_search(image(0))[1]).encode())
        return hashed.hexdigest()

    print(work() == in_child(work))


def replaced_library() -> None:
    """Replace and remove the file of the library, of which the test has made a copy."""
    path = _library.library_path()
    with _library.library_content() as content:
        before = hashlib.sha256(content).hexdigest()
    os.rename(path, path + ".old")
    with open(path, "wb") as file:
        file.write(b"no library")
    results = [search(0), in_child(lambda: search(0))]
    os.remove(path)
    os.closerange(3, 100)  # as programs do that become daemons
    os.rename(path + ".old", path)
    with _library.library_content() as content:
        print(results, in_child(lambda: search(0)), hashlib.sha256(content).hexdigest() == before)


def import_again() -> None:
    """Import the package again in a child, which then does not know of the library of the parent."""
    search(0)

    def work() -> str:
        for name in [name for name in sys.modules if name.split(".")[0] == "proposer"]:
            del sys.modules[name]
        import proposer

        try:
            return repr(proposer.selective_search(image(0)))
        except proposer.Error as err:
            return str(err)

    print(in_child(work))


def old_result() -> None:
    """Use and delete objects of the parent in the child."""
    found = proposer.selective_search(image(0), masks=True)
    token = _library.Token()

    def work() -> str:
        nonlocal token
        token.cancel()
        del token
        assert found.masks is not None
        return hashlib.sha256(found.boxes.tobytes() + found.scores.tobytes()).hexdigest()

    print(in_child(work), search(0))


def no_copy() -> None:
    """Search in a child that cannot load a copy of the library."""
    search(0)

    def work() -> str:
        try:
            search(0)
            return "searched"
        except proposer.Error as err:
            return str(err)

    print(in_child(work))


def no_memfd() -> None:
    """Search in children where memfd_create fails, or does not exist."""
    search(0)

    def denied(*_: object) -> int:
        raise PermissionError(1, "Operation not permitted")

    os.memfd_create = denied
    print(in_child(lambda: search(0)))
    del os.memfd_create
    print(in_child(lambda: nested(3)))


def no_memfd_no_copy(folder: str) -> None:
    """Search in a child without memfd_create, with a folder for temporary files that cannot be used."""
    del os.memfd_create
    tempfile.tempdir = folder
    no_copy()


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
