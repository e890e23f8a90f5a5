"""Runs a script of OpenCV without a display.

Usage: headless.py KEYS SCRIPT [ARGUMENTS]

Windows are written to standard output as a line each, and the keys are pressed one after the other.
"""

import runpy
import sys

import cv2

keys = list(sys.argv[1])
sys.argv = sys.argv[2:]


def imshow(name, image):
    print("window:", name, image.shape, image.dtype)


cv2.imshow = imshow
cv2.waitKey = lambda delay=0: ord(keys.pop(0))
cv2.destroyAllWindows = lambda: None
runpy.run_path(sys.argv[0], run_name="__main__")
