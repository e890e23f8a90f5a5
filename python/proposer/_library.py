"""The C library: loading, calls that can be interrupted, and errors."""

from __future__ import annotations

import _thread
import contextlib
import ctypes
import mmap
import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator
from typing import Any, Callable, Optional, Union

__all__ = [
    "Error",
    "ImageError",
    "LimitError",
    "OptionError",
    "Token",
    "call",
    "library",
    "library_content",
    "library_path",
    "owned",
]

_ABI = 1


class Error(Exception):
    """The base class of the errors of this package."""


class OptionError(Error, ValueError):
    """An option does not exist or has an invalid value."""


class ImageError(Error, ValueError):
    """The image is not of a kind, type, shape or format that can be searched."""


class LimitError(Error, ValueError):
    """The image, or what results of it, exceeds a limit."""


for _class in (Error, OptionError, ImageError, LimitError):
    _class.__module__ = "proposer"  # the name in tracebacks

_ERRORS = {1: OptionError, 2: ImageError, 3: LimitError, 4: Error, 5: MemoryError, 6: Error}


class ImageStruct(ctypes.Structure):
    """proposer_image of proposer.h."""

    _fields_ = [
        ("pixels", ctypes.c_void_p),
        ("width", ctypes.c_int32),
        ("height", ctypes.c_int32),
        ("channels", ctypes.c_int32),
        ("channel_order", ctypes.c_int32),
        ("row_stride", ctypes.c_ssize_t),
        ("pixel_stride", ctypes.c_ssize_t),
        ("channel_stride", ctypes.c_ssize_t),
    ]


class SamplesStruct(ctypes.Structure):
    """proposer_samples of proposer.h."""

    _fields_ = [
        ("samples", ctypes.c_void_p),
        ("width", ctypes.c_int32),
        ("height", ctypes.c_int32),
        ("channels", ctypes.c_int32),
        ("type", ctypes.c_int32),
        ("row_stride", ctypes.c_ssize_t),
        ("pixel_stride", ctypes.c_ssize_t),
        ("channel_stride", ctypes.c_ssize_t),
    ]


class ResultStruct(ctypes.Structure):
    """proposer_result of proposer.h."""

    _fields_ = [
        ("width", ctypes.c_int32),
        ("height", ctypes.c_int32),
        ("count", ctypes.c_size_t),
        ("boxes", ctypes.POINTER(ctypes.c_int32)),
        ("scores", ctypes.POINTER(ctypes.c_float)),
        ("masks", ctypes.POINTER(ctypes.c_char_p)),
        ("warning", ctypes.c_char_p),
    ]


class LabelsStruct(ctypes.Structure):
    """proposer_labels of proposer.h."""

    _fields_ = [
        ("width", ctypes.c_int32),
        ("height", ctypes.c_int32),
        ("count", ctypes.c_int32),
        ("labels", ctypes.POINTER(ctypes.c_int32)),
        ("warning", ctypes.c_char_p),
    ]


class NodeStruct(ctypes.Structure):
    """proposer_node of proposer.h."""

    _fields_ = [
        ("box", ctypes.c_int32 * 4),
        ("size", ctypes.c_int32),
        ("children", ctypes.c_int32 * 2),
        ("parent", ctypes.c_int32),
        ("similarity", ctypes.c_float),
    ]


class MergeTreeStruct(ctypes.Structure):
    """proposer_merge_tree of proposer.h."""

    _fields_ = [
        ("width", ctypes.c_int32),
        ("height", ctypes.c_int32),
        ("leaves", ctypes.c_int32),
        ("count", ctypes.c_int32),
        ("labels", ctypes.POINTER(ctypes.c_int32)),
        ("nodes", ctypes.POINTER(NodeStruct)),
    ]


class StrategyStruct(ctypes.Structure):
    """proposer_strategy of proposer.h."""

    _fields_ = [
        ("space", ctypes.c_char_p),
        ("image", ctypes.c_int32),
        ("min_size", ctypes.c_int32),
        ("k", ctypes.c_double),
        ("sigma", ctypes.c_double),
        ("color", ctypes.c_double),
        ("texture", ctypes.c_double),
        ("size", ctypes.c_double),
        ("fill", ctypes.c_double),
    ]


_IMAGE = ctypes.POINTER(ImageStruct)
_STRATEGIES = ctypes.POINTER(StrategyStruct)
_OPTIONS = ctypes.c_char_p
_TOKEN = ctypes.c_void_p
_RESULT = ctypes.POINTER(ctypes.POINTER(ResultStruct))
_LABELS = ctypes.POINTER(ctypes.POINTER(LabelsStruct))

# The result and argument types of the functions of proposer.h.
_PROTOTYPES: dict[str, tuple[Any, list[Any]]] = {
    "proposer_abi": (ctypes.c_uint32, []),
    "proposer_version": (ctypes.c_char_p, []),
    "proposer_last_error": (ctypes.c_char_p, []),
    "proposer_token_new": (ctypes.c_void_p, []),
    "proposer_token_cancel": (None, [_TOKEN]),
    "proposer_token_free": (None, [_TOKEN]),
    "proposer_search": (ctypes.c_int, [_IMAGE, _OPTIONS, _TOKEN, _RESULT]),
    "proposer_search_file": (ctypes.c_int, [ctypes.c_void_p, ctypes.c_size_t, _OPTIONS, _TOKEN, _RESULT]),
    "proposer_search_strategies": (
        ctypes.c_int,
        [_IMAGE, _IMAGE, ctypes.c_int32, _STRATEGIES, ctypes.c_int32, _OPTIONS, _TOKEN, _RESULT],
    ),
    "proposer_result_free": (None, [ctypes.POINTER(ResultStruct)]),
    "proposer_segment": (ctypes.c_int, [_IMAGE, _OPTIONS, _TOKEN, _LABELS]),
    "proposer_segment_file": (ctypes.c_int, [ctypes.c_void_p, ctypes.c_size_t, _OPTIONS, _TOKEN, _LABELS]),
    "proposer_graph_segmentation": (
        ctypes.c_int,
        [
            ctypes.POINTER(SamplesStruct),
            ctypes.c_double,
            ctypes.c_double,
            ctypes.c_int64,
            ctypes.c_int32,
            _TOKEN,
            _LABELS,
        ],
    ),
    "proposer_felzenszwalb": (
        ctypes.c_int,
        [
            ctypes.POINTER(SamplesStruct),
            ctypes.c_double,
            ctypes.c_double,
            ctypes.c_int64,
            ctypes.c_void_p,
            ctypes.c_int32,
            ctypes.c_int32,
            _TOKEN,
            _LABELS,
        ],
    ),
    "proposer_group": (
        ctypes.c_int,
        [_IMAGE, ctypes.c_void_p, _OPTIONS, _TOKEN, ctypes.POINTER(ctypes.POINTER(MergeTreeStruct))],
    ),
    "proposer_tree_free": (None, [ctypes.POINTER(MergeTreeStruct)]),
    "proposer_labels_free": (None, [ctypes.POINTER(LabelsStruct)]),
}

# A Go runtime does not survive a fork: its threads are missing in the child. So each process that
# inherits a library loads a copy of it, of which the dynamic loader makes a new instance.
_lock = threading.RLock()
_library: Optional[ctypes.CDLL] = None
_pid = 0  # the process that loaded, or began to load, _library; -1 if it is an ancestor
_copies = 0  # the number of ancestors that did
_addresses: set[int] = set()  # of the instances in this process, inherited ones included
_descriptor = -1  # of the library's file, for copies and hashes; it stays open, since the file may be replaced
_identity: tuple[int, ...] = ()  # of that file
_waits: set[Any] = set()  # the locks that threads wait for until their calls have ended


def _before_fork() -> None:
    _lock.acquire()  # a child with a half-loaded library could not load another


def _after_fork_in_parent() -> None:
    _lock.release()


def _after_fork_in_child() -> None:
    global _library, _lock, _pid
    _lock = threading.RLock()
    _library = None
    _pid = -1 if _pid else 0
    for done in _waits:  # of a thread that forks in a signal handler; its call runs in the parent alone
        if done.locked():
            done.release()
    _waits.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child
    )


def library() -> ctypes.CDLL:
    """Return the C library of this process, loaded when it is first needed.

    Pointers that come from the library of a parent process must not be passed to it.

    Returns
    -------
    ctypes.CDLL
        The library, with the types of its functions declared.

    Raises
    ------
    Error
        If the library is missing, cannot be loaded, or is of another version than the package.
    """
    global _copies, _library, _pid
    loaded = _library
    if loaded is not None and _pid == os.getpid():
        return loaded
    with _lock:
        if _library is None or _pid != os.getpid():
            if _pid not in (0, os.getpid()):
                _copies += 1
            _pid = os.getpid()
            _library = _load()
        return _library


def library_path() -> str:
    """Return the path of the file of the C library.

    Returns
    -------
    str
        The path.
    """
    name = {"darwin": "libproposer.dylib", "win32": "libproposer.dll"}.get(sys.platform, "libproposer.so")
    return os.path.join(os.path.dirname(os.path.abspath(__file__)), name)


def library_content() -> mmap.mmap:
    """Return the content of the file of the C library.

    It is that of the library which this process and its children use, even if the file has been
    replaced since the process began.

    Returns
    -------
    mmap.mmap
        The content, which the caller closes.

    Raises
    ------
    Error
        If the file is missing or cannot be read.
    """
    global _descriptor, _identity
    path = library_path()
    with _lock:
        try:
            # Some programs close all descriptors that they do not know.
            if _descriptor < 0 or _identify(_descriptor) != _identity:
                _descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
                _identity = _identify(_descriptor)
            return mmap.mmap(_descriptor, 0, access=mmap.ACCESS_READ)
        except FileNotFoundError:
            raise Error(f"{path} does not exist: {_INSTALL}") from None
        except (OSError, ValueError) as err:  # ValueError of an empty file
            raise Error(f"{path} cannot be read: {err}") from err


def _identify(file: Union[int, str]) -> tuple[int, ...]:
    try:
        found = os.stat(file)
    except OSError:
        return ()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _load() -> ctypes.CDLL:
    path = library_path()
    with library_content() as content:
        try:
            copied = _copies > 0 or _identify(path) != _identity
            loaded = _load_copy(content) if copied else ctypes.CDLL(path)
        except OSError as err:
            raise Error(f"{path} cannot be loaded{_AFTER_FORK if _copies else ''}: {err}") from err
    try:
        for function, (result, arguments) in _PROTOTYPES.items():
            prototype = getattr(loaded, function)
            prototype.restype, prototype.argtypes = result, arguments
    except AttributeError as err:
        raise Error(f"{path} is of another version than the package: {_INSTALL}") from err
    address = ctypes.cast(loaded.proposer_abi, ctypes.c_void_p).value or 0
    if _copies and address in _addresses:
        raise Error(f"{path} cannot be loaded{_AFTER_FORK}")
    abi = loaded.proposer_abi()
    if abi != _ABI:
        raise Error(f"{path} has the binary interface {abi}, and the package needs {_ABI}: {_INSTALL}")
    _addresses.add(address)
    return loaded


_INSTALL = "install the package from a wheel, or build the library with make lib"
_AFTER_FORK = (
    " a second time, which a process started by fork requires: want a folder for temporary files that"
    " allows execution (TMPDIR), or the start method spawn or forkserver"
)


def _load_copy(content: mmap.mmap) -> ctypes.CDLL:
    """Load a library of this content, as another instance than all that are loaded."""
    descriptor = -1
    if sys.platform == "linux" and hasattr(os, "memfd_create"):  # not in a Python for an old glibc
        try:
            descriptor = os.memfd_create("libproposer")
        except OSError:  # of an old kernel, or forbidden
            pass
    if descriptor < 0:
        return _load_temporary_copy(content)
    with open(descriptor, "wb") as copy:
        # The loader takes a library of the same name for the same library, and descriptors are
        # reused. "./" makes the name different in each generation of processes.
        unique = "./" * _copies
        try:
            copy.write(content)
            copy.flush()
            return ctypes.CDLL(f"/proc/self/{unique}fd/{descriptor}")
        except OSError:  # no /proc, or a policy against executable memory files
            return _load_temporary_copy(content)


def _load_temporary_copy(content: mmap.mmap) -> ctypes.CDLL:
    with tempfile.TemporaryDirectory(prefix="proposer-") as folder:
        path = os.path.join(folder, os.path.basename(library_path()))
        with open(path, "wb") as copy:
            copy.write(content)
        return ctypes.CDLL(path)


class Token:
    """A token that cancels the calls that it is given to."""

    def __init__(self) -> None:
        self._library = library()
        self._pid = os.getpid()
        self._pointer: Optional[int] = self._library.proposer_token_new()
        if self._pointer is None:
            # Of a parent, if this module was imported again after a fork.
            raise Error(self._library.proposer_last_error().decode())

    def is_of_this_process(self) -> bool:
        """Return whether this process made the token, and not a parent of it."""
        return self._pid == os.getpid()

    def cancel(self) -> None:
        """End all calls that have the token, and all that will get it."""
        if self.is_of_this_process():
            self._library.proposer_token_cancel(self._pointer)

    def __del__(self) -> None:
        if getattr(self, "_pointer", None) is not None and self.is_of_this_process():
            self._library.proposer_token_free(self._pointer)


@contextlib.contextmanager
def owned(struct: type[ctypes.Structure], free_name: str) -> Iterator[Any]:
    """Provide a pointer for a result of the C library, and free the result at the end of the block.

    Parameters
    ----------
    struct : type
        The type of the result.
    free_name : str
        The name of the function that frees it.

    Yields
    ------
    pointer
        A pointer to the type: NULL until a call stores a result in it.
    """
    pointer = ctypes.POINTER(struct)()
    try:
        yield pointer
    finally:
        if pointer:
            getattr(library(), free_name)(pointer)


def call(function_name: str, *args: Any, token: Optional[Token] = None) -> None:
    """Call a function of the C library that returns a status and takes a token.

    A call from the main thread runs in another thread, so that Ctrl-C and other signals are
    handled immediately: an exception of a handler cancels the call, and is raised after the call has
    ended. So the result that the call may have stored can be freed in any case::

        with owned(ResultStruct, "proposer_result_free") as result:
            call("proposer_search", image, options, ctypes.byref(result))
            ...

    Parameters
    ----------
    function_name : str
        The name of the function.
    *args
        Its arguments without the token, which is the last but one.
    token : Token, optional
        A token to cancel the call with. If it is given, the call runs in the calling thread.

    Raises
    ------
    OptionError, ImageError, LimitError, MemoryError, Error
        If the status is not PROPOSER_OK.
    """
    functions = library()
    function = getattr(functions, function_name)
    used = token or Token()

    def run() -> tuple[int, str]:
        status = function(*args[:-1], used._pointer, args[-1])
        # The error is that of this thread.
        return status, "" if status == 0 else functions.proposer_last_error().decode("utf-8", "replace")

    # At the end of the program no other thread can begin.
    in_main_thread = threading.current_thread() is threading.main_thread() and not sys.is_finalizing()
    if token is None and in_main_thread:
        status, message = _run_interruptibly(run, used)
    else:
        status, message = run()
    if status != 0:
        error = _ERRORS.get(status, Error)
        raise error(_in_python(error, message))


def _run_interruptibly(run: Callable[[], tuple[int, str]], token: Token) -> tuple[int, str]:
    """Run a call in another thread, and cancel it if an exception is raised meanwhile."""
    outcome: list[Any] = []
    began = False
    done = _thread.allocate_lock()
    done.acquire()
    _waits.add(done)

    def work() -> None:
        nonlocal began
        began = True
        try:
            outcome.append(run())
        except BaseException as err:  # of a wrong argument, which is a fault of this package
            outcome.append(err)
        done.release()

    try:
        try:
            _thread.start_new_thread(work, ())
        except RuntimeError:  # no more threads
            return run()
        while not done.acquire(timeout=WAIT):
            pass
    except BaseException:
        while True:
            try:
                token.cancel()
                # If the call begins later, the token ends it immediately.
                while began and not outcome and token.is_of_this_process():
                    done.acquire(timeout=0.01)
                break
            except BaseException:  # another Ctrl-C
                pass
        raise
    finally:
        _waits.discard(done)
    if not outcome:
        raise Error("the process was forked during the call: the parent process has the result")
    if isinstance(outcome[0], BaseException):
        raise outcome[0]
    result: tuple[int, str] = outcome[0]
    return result


# The longest wait in seconds. A signal that another thread receives does not end a wait of the main
# thread, which handles it.
WAIT = 0.02
_OPTION_NAME = re.compile('(?:(?<=^)|(?<=; ))([a-z-]+)(?= ")')


def _in_python(error: type[BaseException], message: str) -> str:
    """Return a message of the library with the names that options have in Python."""
    if error is OptionError:
        return _OPTION_NAME.sub(lambda m: "max_boxes" if m[1] == "max" else m[1].replace("-", "_"), message)
    return message
