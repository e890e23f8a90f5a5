"""Writes opencv.bin: what OpenCV makes of some thousand colours.

Ten bytes a colour: R, G, B; COLOR_RGB2GRAY; COLOR_RGB2HSV_FULL; COLOR_RGB2Lab.
Run with OpenCV 4.6 for Python: python3 opencv.py
"""

import pathlib

import cv2
import numpy as np

rng = np.random.default_rng(1)


def grid(values):
    return np.stack(np.meshgrid(values, values, values), -1).reshape(-1, 3)


colours = np.concatenate(
    [
        grid(np.arange(10)),
        grid(np.linspace(0, 255, 9).round()),
        rng.integers(0, 136, (2000, 3)),  # in the dark, Lab is least precise
        rng.integers(0, 256, (1000, 3)),
    ]
).astype(np.uint8)[None]
columns = [colours, cv2.cvtColor(colours, cv2.COLOR_RGB2GRAY)[..., None]]
columns += [cv2.cvtColor(colours, c) for c in (cv2.COLOR_RGB2HSV_FULL, cv2.COLOR_RGB2Lab)]
np.concatenate(columns, -1).tofile(pathlib.Path(__file__).with_name("opencv.bin"))
