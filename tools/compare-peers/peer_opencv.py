"""OpenCV's ximgproc and scikit-image as a peer, with the protocol of peer.go."""

import json
import sys
import time

import cv2
import skimage
from skimage.segmentation import felzenszwalb

SEARCHES = {
    "single": "switchToSingleStrategy",
    "fast": "switchToSelectiveSearchFast",
    "quality": "switchToSelectiveSearchQuality",
}


def respond(**values):
    print(json.dumps(values), flush=True)


def load(path):
    bgr = cv2.imread(path)  # three channels, after EXIF orientation
    if bgr is None:
        raise ValueError("OpenCV cannot read " + path)
    rgb = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
    respond(width=bgr.shape[1], height=bgr.shape[0])
    return bgr, rgb


def run(work, bgr, rgb):
    """Does the work and returns a function that counts the boxes or regions."""
    if work in SEARCHES:
        search = cv2.ximgproc.segmentation.createSelectiveSearchSegmentation()
        search.setBaseImage(bgr)
        getattr(search, SEARCHES[work])()
        return lambda found=search.process(): len(found)
    if work == "graph-segmentation":
        labels = cv2.ximgproc.segmentation.createGraphSegmentation(0.8, 300, 20).processImage(bgr)
    elif work == "felzenszwalb":
        labels = felzenszwalb(rgb, scale=300, sigma=0.8, min_size=20)
    else:
        raise ValueError("unknown work " + work)
    return lambda: int(labels.max()) + 1


def main():
    respond(versions={"OpenCV": cv2.__version__, "scikit-image": skimage.__version__})
    image = None
    for line in sys.stdin:
        command, _, rest = line.rstrip("\n").partition(" ")
        try:
            if command == "load":
                image = load(rest)
            elif command == "run":
                work, threads = rest.split()
                cv2.setNumThreads(int(threads))
                start = time.perf_counter()
                count = run(work, *image)
                seconds = time.perf_counter() - start
                respond(seconds=seconds, found=count())
            else:
                raise ValueError("unknown command " + line)
        except Exception as error:
            respond(error=f"{type(error).__name__}: {error}")


main()
