"""Shows the boxes of an image, after OpenCV's sample of selective search.

Usage: opencv_sample.py IMAGE (single|fast|quality)

Press d for more boxes, a for fewer, q to quit.
"""

import sys

import cv2 as cv


def main():
    img = cv.imread(sys.argv[1])

    cv.setUseOptimized(True)
    cv.setNumThreads(8)

    search = cv.ximgproc.segmentation.createSelectiveSearchSegmentation()
    search.setBaseImage(img)
    mode = sys.argv[2][0]
    if mode == "s":
        search.switchToSingleStrategy()
    elif mode == "f":
        search.switchToSelectiveSearchFast()
    elif mode == "q":
        search.switchToSelectiveSearchQuality()
    else:
        print(__doc__)
        sys.exit(1)

    rects = search.process()
    print("boxes:", len(rects))
    shown = 10
    while True:
        drawn = img.copy()
        for i in range(len(rects)):
            if i < shown:
                x, y, w, h = rects[i]
                cv.rectangle(drawn, (x, y), (x + w, y + h), (0, 255, 0), 1, cv.LINE_AA)
        cv.imshow("Output", drawn)
        key = cv.waitKey()
        if key == ord("d"):
            shown += 10
        elif key == ord("a") and shown > 10:
            shown -= 10
        elif key == ord("q"):
            break
    cv.destroyAllWindows()


if __name__ == "__main__":
    main()
