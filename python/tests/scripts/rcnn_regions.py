"""Crops the large boxes of an image for a classifier, as tutorials of R-CNN do."""

import sys

import cv2
import numpy as np


def main():
    image = cv2.imread(sys.argv[1])
    (height, width) = image.shape[:2]
    ss = cv2.ximgproc.segmentation.createSelectiveSearchSegmentation()
    ss.setBaseImage(image)
    ss.switchToSelectiveSearchFast()
    rects = ss.process()
    print("boxes:", len(rects))

    proposals, boxes = [], []
    for x, y, w, h in rects:
        if w / float(width) < 0.1 or h / float(height) < 0.1:
            continue
        roi = image[y : y + h, x : x + w]
        roi = cv2.cvtColor(roi, cv2.COLOR_BGR2RGB)
        roi = cv2.resize(roi, (224, 224), interpolation=cv2.INTER_CUBIC)
        proposals.append(roi)
        boxes.append((x, y, x + w, y + h))
    proposals = np.array(proposals, dtype="float32")
    print("crops:", proposals.shape)
    # Training code sorts and converts the boxes in such ways.
    rects[:, 2] += rects[:, 0]
    rects[:, 3] += rects[:, 1]
    unique = {tuple(rect) for rect in rects.tolist()}
    assert set(boxes) <= unique, "a crop is not of a box"


if __name__ == "__main__":
    main()
