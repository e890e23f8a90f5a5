"""Shows the boxes of an image that is resized first, as a tutorial of learnopencv.com does.

Usage: learnopencv.py IMAGE (f|q)

Press m for more boxes, l for fewer, q to quit.
"""

import sys

import cv2


def main():
    cv2.setUseOptimized(True)
    cv2.setNumThreads(4)

    im = cv2.imread(sys.argv[1])
    new_height = 200
    new_width = int(im.shape[1] * 200 / im.shape[0])
    im = cv2.resize(im, (new_width, new_height))

    ss = cv2.ximgproc.segmentation.createSelectiveSearchSegmentation()
    ss.setBaseImage(im)
    if sys.argv[2] == "f":
        ss.switchToSelectiveSearchFast()
    elif sys.argv[2] == "q":
        ss.switchToSelectiveSearchQuality()
    else:
        print(__doc__)
        sys.exit(1)

    rects = ss.process()
    print("boxes:", len(rects))
    shown, step = 100, 50
    while True:
        out = im.copy()
        for i, rect in enumerate(rects):
            if i >= shown:
                break
            x, y, w, h = rect
            cv2.rectangle(out, (x, y), (x + w, y + h), (0, 255, 0), 1, cv2.LINE_AA)
        cv2.imshow("Output", out)
        key = cv2.waitKey(0) & 0xFF
        if key == ord("m"):
            shown += step
        elif key == ord("l") and shown > step:
            shown -= step
        elif key == ord("q"):
            break
    cv2.destroyAllWindows()


if __name__ == "__main__":
    main()
