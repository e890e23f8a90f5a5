"""Combines images, segmentations and strategies, as programs do that do not use the given modes."""

import sys

import cv2
from cv2.ximgproc import segmentation


def main():
    image = cv2.imread(sys.argv[1])
    search = segmentation.createSelectiveSearchSegmentation()
    search.addImage(cv2.cvtColor(image, cv2.COLOR_BGR2YCrCb))
    search.addImage(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY))
    search.addGraphSegmentation(segmentation.createGraphSegmentation())
    search.addGraphSegmentation(segmentation.createGraphSegmentation(0.8, 100, 50))
    color = segmentation.createSelectiveSearchSegmentationStrategyColor()
    texture = segmentation.createSelectiveSearchSegmentationStrategyTexture()
    size = segmentation.createSelectiveSearchSegmentationStrategySize()
    fill = segmentation.createSelectiveSearchSegmentationStrategyFill()
    search.addStrategy(segmentation.createSelectiveSearchSegmentationStrategyMultiple(color, texture, size, fill))
    weighted = segmentation.createSelectiveSearchSegmentationStrategyMultiple()
    weighted.addStrategy(segmentation.createSelectiveSearchSegmentationStrategyColor(), 0.7)
    weighted.addStrategy(segmentation.createSelectiveSearchSegmentationStrategySize(), 0.3)
    search.addStrategy(weighted)
    rects = search.process()
    print("boxes:", len(rects))
    for x, y, w, h in rects[:20]:
        cv2.rectangle(image, (x, y), (x + w, y + h), (0, 0, 255), 1)
    cv2.imshow("Output", image)
    cv2.waitKey(0)


if __name__ == "__main__":
    main()
