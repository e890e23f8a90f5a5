"""Searches of many images on all processor cores."""

from __future__ import annotations

import importlib
import inspect
import operator
import os
import sys
import threading
import warnings
import weakref
from collections import deque
from collections.abc import Iterable, Iterator
from queue import SimpleQueue
from typing import Any, Generic, Literal, Optional, TypeVar, Union, overload

import numpy as np

from proposer._image import is_pil
from proposer._library import WAIT, Error, ImageError, LimitError, OptionError, Token
from proposer._proposals import Proposals
from proposer._search import SearchOptions, search, selective_search

__all__ = ["MapIterator", "map"]

Result = TypeVar("Result", covariant=True)


@overload
def map(
    images: Iterable[Any],
    *,
    workers: int = ...,
    on_error: Literal["raise"] = ...,
    progress: bool = ...,
    **options: Any,
) -> MapIterator[Proposals]: ...


@overload
def map(
    images: Iterable[Any],
    *,
    workers: int = ...,
    on_error: Literal["return"],
    progress: bool = ...,
    **options: Any,
) -> MapIterator[Union[Proposals, Exception]]: ...


def map(
    images: Iterable[Any],
    *,
    workers: int = 0,
    on_error: str = "raise",
    progress: bool = False,
    **options: Any,
) -> MapIterator[Any]:
    """Propose boxes for many images, each with one thread, on all processor cores.

    Parameters
    ----------
    images : iterable
        The images, each as `selective_search` accepts it. It may be infinite: the images that are
        taken ahead of the results are at most twice as many as there are workers. An image must not
        be changed before its result has come: of an iterable that fills the same array again and
        again, or of a ``PIL.ImageSequence``, pass copies.
    workers : int, optional
        The number of images that are searched at the same time. 0: the number of processor cores.
    on_error : {"raise", "return"}, optional
        What happens if an image cannot be read or searched: its exception is raised and ends the
        iteration, or it takes the place of the proposals.
    progress : bool, optional
        Whether to show a progress bar, if the package tqdm is installed.
    **options
        The options of `selective_search` except `threads`.

    Returns
    -------
    MapIterator
        An iterator over the `Proposals` of the images, in their order. Its method ``close`` ends it
        early, as leaving a loop and dropping the iterator does.

    Raises
    ------
    OptionError
        If an option is invalid; some are reported with the first image.
    ImageError
        If `images` is one image instead of many.

    Notes
    -----
    The images are taken in the thread that iterates. If taking one raises an exception, the
    results of the images before it come first, and then the exception. Ctrl-C ends all searches.
    Several threads can iterate: each result goes to one of them. Any thread can call ``close``.

    An iterator cannot be used in a process that is forked from its own.

    Examples
    --------
    >>> import numpy as np, proposer
    >>> images = (np.full((40, 50, 3), value, np.uint8) for value in range(3))
    >>> for proposals in proposer.map(images, mode="single"):
    ...     print(proposals.boxes.tolist())
    [[0, 0, 50, 40]]
    [[0, 0, 50, 40]]
    [[0, 0, 50, 40]]
    """
    if isinstance(workers, bool) or not isinstance(workers, (int, np.integer)) or workers < 0:
        raise OptionError(f"workers {workers!r}: want a whole number from 0")
    if on_error not in ("raise", "return"):
        raise OptionError(f'on_error {on_error!r}: want "raise" or "return"')
    if "threads" in options:
        raise TypeError("map() takes no option threads: each image is searched with one thread; set workers")
    bound = inspect.signature(selective_search).bind(None, **options, threads=1)
    bound.apply_defaults()
    values = dict(bound.arguments)
    del values["image"]
    _check_many(images)
    bar = _progress_bar(images) if progress else None
    return MapIterator(iter(images), int(workers) or _cores(), SearchOptions(values), on_error == "return", bar)


def _check_many(images: Any) -> None:
    """Raise an ImageError for one image in the place of many, of which iterating would give the parts."""
    shape = tuple(getattr(images, "shape", ()))
    one = isinstance(images, (str, bytes, bytearray, memoryview, os.PathLike)) or is_pil(images) or len(shape) == 2
    if len(shape) == 3:
        one = shape[2] in (3, 4) or not isinstance(images, np.ndarray) and shape[0] in (1, 3, 4)
    if one:
        what = f"shape {shape}" if shape else f"type {type(images).__name__}"
        raise ImageError(f"images of {what}: this is one image, want an iterable of images, such as a list")


def _cores() -> int:
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _progress_bar(images: Iterable[Any]) -> Any:
    try:
        tqdm: Any = importlib.import_module("tqdm.auto")
    except ImportError:
        return None
    return tqdm.tqdm(total=operator.length_hint(images, 0) or None, unit="image")


class _Job:
    """The search of one image."""

    def __init__(self, index: int, image: Any) -> None:
        self.index = index
        self.image = image
        self.done = threading.Event()
        self.proposals: Optional[Proposals] = None
        self.warning = ""
        self.error: Optional[BaseException] = None


class _Workers:
    """The threads that search. They do not refer to the iterator, which stops them when it is dropped."""

    def __init__(self, count: int, options: SearchOptions) -> None:
        self.count = count
        self.stopped = False
        self.pid = os.getpid()
        self._options = options
        self._token = Token()
        self._jobs: SimpleQueue[Optional[_Job]] = SimpleQueue()
        self._threads: list[threading.Thread] = []

    def add(self, job: _Job) -> None:
        """Add a search, and a thread unless there are enough."""
        self._jobs.put(job)
        if len(self._threads) < self.count:
            # A daemon, so that an iterator that is not used up does not keep the program from its end.
            thread = threading.Thread(target=self._work, name="proposer.map", daemon=True)
            # First, as an exception of a signal handler can interrupt the start.
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """Cancel the searches and end the threads."""
        if self.pid != os.getpid():
            return
        self.stopped = True
        self._token.cancel()
        for _ in self._threads:
            self._jobs.put(None)

    def wait(self) -> None:
        """Wait for the threads' end."""
        for thread in self._threads:
            if thread.is_alive():  # or it has not been started
                thread.join()

    def _work(self) -> None:
        while True:
            job = self._jobs.get()
            if job is None or self.stopped:
                return
            try:
                job.proposals, job.warning = search(job.image, self._options, self._token)
            except BaseException as err:
                job.error = err
            job.image = None
            job.done.set()


class MapIterator(Iterator[Result], Generic[Result]):
    """The iterator that `proposer.map` returns."""

    def __init__(
        self, source: Iterator[Any], workers: int, options: SearchOptions, return_errors: bool, bar: Any
    ) -> None:
        self._source: Optional[Iterator[Any]] = source
        self._source_error: Optional[Exception] = None
        self._return_errors = return_errors
        self._bar = bar
        self._workers = _Workers(workers, options)
        self._pending: deque[_Job] = deque()
        self._count = 0
        self._lock = threading.RLock()  # of all that __next__ changes
        self._running = False
        weakref.finalize(self, self._workers.stop)  # also at the end of the program

    def __next__(self) -> Result:
        if self._workers.pid != os.getpid():
            raise Error("a proposer.map of the parent process cannot be continued after a fork: make a new one")
        with self._lock:
            if self._running:  # of a signal handler, or of the images
                raise ValueError("proposer.map is already executing in this thread")
            self._running = True
            try:
                job = self._next_job()
            finally:
                self._running = False
            if self._bar is not None:
                self._bar.update()
        if job.warning:
            warnings.warn(f"image {job.index}: {job.warning}", stacklevel=2)
        result: Any = job.proposals
        if job.error is not None:
            result = _of_image(job.error, job.index)
            if not (self._return_errors and isinstance(result, (ImageError, LimitError, OSError))):
                self._stop()
                raise result
        return result  # type: ignore[no-any-return]

    def _next_job(self) -> _Job:
        """Return the next job when it is done."""
        try:
            self._take_images()
            if not self._pending:
                self.close()
                if self._source_error is not None:
                    error, self._source_error = self._source_error, None
                    raise error
                raise StopIteration
            job = self._pending[0]
            while not (self._workers.stopped or job.done.wait(WAIT)):
                pass
            if self._workers.stopped:  # by another thread
                raise StopIteration
        except BaseException:
            self._stop()
            raise
        return self._pending.popleft()

    def close(self) -> None:
        """End the iteration and all searches."""
        self._stop()
        if self._workers.pid == os.getpid():
            self._workers.wait()

    def _stop(self) -> None:
        self._workers.stop()
        if not self._lock.acquire(blocking=False):
            return  # the thread that iterates comes here soon
        try:
            self._source = None
            self._pending.clear()
            if self._bar is not None:
                self._bar.close()
        finally:
            self._lock.release()

    def _take_images(self) -> None:
        """Take images from the source until the workers have enough to do."""
        pending, workers = self._pending, self._workers.count
        while self._source is not None and not self._workers.stopped and len(pending) < 2 * workers:
            if pending and pending[0].done.is_set() and sum(not job.done.is_set() for job in pending) >= workers:
                return  # a result is there: taking another image can wait
            try:
                image = next(self._source)
            except StopIteration:
                self._source = None
            except Exception as err:
                self._source, self._source_error = None, err
            else:
                self._wait_for_file_of(image)
                job = _Job(self._count, image)
                self._count += 1
                pending.append(job)
                self._workers.add(job)

    def _wait_for_file_of(self, image: Any) -> None:
        """Wait until no worker reads the file of a PIL image, which only one thread may do."""
        for job in self._pending:
            while job.image is image and getattr(image, "tile", None) and not job.done.wait(WAIT):
                if self._workers.stopped:
                    return


def _of_image(error: BaseException, index: int) -> BaseException:
    """Return an error with the number of the image that it is about."""
    if isinstance(error, (ImageError, LimitError)):
        return type(error)(f"image {index}: {error}")
    return error
