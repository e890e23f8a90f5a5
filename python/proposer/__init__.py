"""Region proposals by selective search.

>>> import numpy as np, proposer
>>> image = np.zeros((60, 80, 3), np.uint8)
>>> image[10:40, 20:50] = 255, 0, 0
>>> proposals = proposer.selective_search(image)
>>> [20, 10, 50, 40] in proposals.boxes.tolist()
True
"""

from proposer._felzenszwalb import felzenszwalb
from proposer._library import Error, ImageError, LimitError, OptionError, library
from proposer._map import MapIterator, map
from proposer._proposals import Proposal, Proposals
from proposer._search import selective_search
from proposer._segment import segment

__all__ = [
    "Error",
    "ImageError",
    "LimitError",
    "MapIterator",
    "OptionError",
    "Proposal",
    "Proposals",
    "felzenszwalb",
    "map",
    "segment",
    "selective_search",
]


def __getattr__(name: str) -> str:
    if name == "__version__":  # loads the library
        version: bytes = library().proposer_version()
        return version.decode()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
