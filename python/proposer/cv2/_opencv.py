"""OpenCV's own package, if it is installed, and what this one shares with it."""

from __future__ import annotations

import importlib
import operator
import os
from types import ModuleType
from typing import Any, NoReturn, Optional

from proposer import _library

opencv: Optional[ModuleType] = None
_why_missing = "it is not installed"
try:
    opencv = importlib.import_module("cv2")
except ModuleNotFoundError as err:
    if err.name != "cv2":  # OpenCV is there, but a package that it needs is not
        _why_missing = f"it cannot be imported: {err}"
except ImportError as err:
    _why_missing = f"it cannot be imported: {err}"


# What names are forwarded to. Programs may assign this package's ximgproc to that of OpenCV.
_modules = {"cv2": opencv, "cv2.ximgproc": getattr(opencv, "ximgproc", None)}


class _NoOpenCVError(Exception):
    """The class ``error`` where OpenCV is not installed."""


error: Any = getattr(opencv, "error", _NoOpenCVError)


class Error(_library.Error, error):  # type: ignore[misc]
    """An error of this package, which is a ``cv2.error`` as well.

    Attributes
    ----------
    func : str
        The name of the function.
    err : str
        What was wrong, and what would be right.
    msg : str
        Both.
    code : int
        OpenCV's code for a bad argument.
    """

    code = -5
    file = ""
    line = -1

    def __init__(self, func: str, err: str) -> None:
        self.func = func
        self.err = err
        self.msg = f"{func}: {err}"
        super().__init__(self.msg)

    def __reduce__(self) -> tuple[Any, ...]:
        return Error, (self.func, self.err)


def forward(module: str, name: str) -> Any:
    """Return an attribute of a module of OpenCV.

    Parameters
    ----------
    module : str
        The name of the module, ``cv2`` or ``cv2.ximgproc``.
    name : str
        The name of the attribute.

    Raises
    ------
    AttributeError
        If OpenCV is not installed or has no such attribute.
    """
    if name.startswith("__") and name != "__version__":
        raise AttributeError(f"module {__package__!r} has no attribute {name!r}")
    if opencv is None:
        _missing(module, name, f"OpenCV's package cv2, and {_why_missing}")
    if _modules[module] is None:
        _missing(module, name, "an OpenCV with its contributed modules (opencv-contrib-python)")
    return getattr(_modules[module], name)


def _missing(module: str, name: str, what: str) -> NoReturn:
    raise AttributeError(
        f"{module}.{name} needs {what}; proposer.cv2 itself has selective search and graph segmentation"
    )


def integer(argument: str, value: Any) -> int:
    """Return the value of an argument that must be an integer."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{argument} = {value!r}: want an integer")
    return operator.index(value)


_threads = 0  # the most of a search; 0: as many as there are processors


def threads() -> int:
    """Return the number of threads of a search, 0 for as many as there are processors."""
    return _threads


def setNumThreads(nthreads: int) -> None:
    """Set the number of threads of OpenCV and of the searches of this module.

    Parameters
    ----------
    nthreads : int
        The number of threads. 0 stands for one thread, and a negative number for as many as there
        are processors, which is the default.
    """
    global _threads
    nthreads = integer("nthreads", nthreads)
    if opencv is not None:
        opencv.setNumThreads(nthreads)
    _threads = 0 if nthreads < 0 else min(max(nthreads, 1), 1024)


def getNumThreads() -> int:
    """Return the number of threads of OpenCV, or of the searches if OpenCV is not installed."""
    if opencv is not None:
        return int(opencv.getNumThreads())
    return _threads or os.cpu_count() or 1


def setUseOptimized(onoff: bool) -> None:
    """Turn optimized code of OpenCV on or off. Searches do not depend on it."""
    if opencv is not None:
        opencv.setUseOptimized(onoff)


def useOptimized() -> bool:
    """Return whether OpenCV uses optimized code, or True if it is not installed."""
    return True if opencv is None else bool(opencv.useOptimized())
