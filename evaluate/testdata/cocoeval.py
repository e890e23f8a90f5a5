"""Print COCO's AR of proposals as pycocotools computes it.

  cocoeval.py INSTANCES.json RESULTS.json N...

Prints a line for each number of boxes N: N and the AR of all, small, medium and large objects.
"""
import contextlib
import sys

import numpy

if not hasattr(numpy, "float"):
    numpy.float = float  # cocoapi uses the name that NumPy 1.24 removed
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

with contextlib.redirect_stdout(sys.stderr):
    truth = COCO(sys.argv[1])
    e = COCOeval(truth, truth.loadRes(sys.argv[2]), "bbox")
    e.params.useCats = 0  # proposals have no class
    e.params.maxDets = sorted(map(int, sys.argv[3:]))
    e.evaluate()
    e.accumulate()

recall = e.eval["recall"]  # thresholds × categories × area ranges × numbers of boxes
for m, n in enumerate(e.params.maxDets):
    print(n, *("%.6f" % recall[:, 0, a, m].mean() for a in range(len(e.params.areaRng))))
