"""Shows the boxes of an image a hundred at a time, as a tutorial of pyimagesearch.com does.

Press any key for the next hundred, q to quit.
"""

import argparse
import random
import time

import cv2


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("-i", "--image", required=True)
    parser.add_argument("-m", "--method", default="fast", choices=["fast", "quality"])
    args = vars(parser.parse_args())

    image = cv2.imread(args["image"])
    ss = cv2.ximgproc.segmentation.createSelectiveSearchSegmentation()
    ss.setBaseImage(image)
    if args["method"] == "fast":
        ss.switchToSelectiveSearchFast()
    else:
        ss.switchToSelectiveSearchQuality()

    start = time.time()
    rects = ss.process()
    end = time.time()
    print("seconds: {:.4f}".format(end - start))
    print("boxes: {}".format(len(rects)))

    for i in range(0, len(rects), 100):
        output = image.copy()
        for x, y, w, h in rects[i : i + 100]:
            color = [random.randint(0, 255) for _ in range(0, 3)]
            cv2.rectangle(output, (x, y), (x + w, y + h), color, 2)
        cv2.imshow("Output", output)
        key = cv2.waitKey(0) & 0xFF
        if key == ord("q"):
            break


if __name__ == "__main__":
    main()
