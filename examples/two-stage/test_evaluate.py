import unittest

import numpy as np

from evaluate import Detections, GroundTruth, mean_average_precision, overlaps


def truth(boxes, classes=None, crowd=None):
    n = len(boxes)
    return GroundTruth(np.array(boxes, float).reshape(-1, 4), np.array(classes or [0] * n, int), np.array(crowd or [False] * n, bool))


def found(boxes, scores, classes=None):
    return Detections(np.array(boxes, float).reshape(-1, 4), np.array(scores, float), np.array(classes or [0] * len(boxes), int))


A, B, FAR = [0, 0, 100, 100], [200, 0, 300, 100], [500, 500, 600, 600]


class MeanAveragePrecision(unittest.TestCase):
    def check(self, truths, founds, want50, want, classes=1):
        got50, got = mean_average_precision(truths, founds, classes)
        self.assertAlmostEqual(got50, want50, 9)
        self.assertAlmostEqual(got, want, 9)

    def test_right(self):
        self.check([truth([A, B])], [found([B, A], [0.9, 0.8])], 1, 1)

    def test_nothing(self):
        self.check([truth([A])], [found([], [])], 0, 0)
        self.check([truth([A])], [found([FAR], [1])], 0, 0)

    def test_wrong_between(self):
        # Precision is 1 up to recall .5, at 51 of the 101 points, and 2/3 up to recall 1.
        ap = (51 + 50 * 2 / 3) / 101
        self.check([truth([A, B])], [found([A, FAR, B], [0.9, 0.8, 0.7])], ap, ap)

    def test_wrong_first(self):
        # 1/2 at recall .5, 2/3 at recall 1: the maximum at a higher recall counts.
        self.check([truth([A, B])], [found([FAR, A, B], [0.9, 0.8, 0.7])], 2 / 3, 2 / 3)

    def test_half_found(self):
        self.check([truth([A, B])], [found([A], [0.9])], 51 / 101, 51 / 101)

    def test_loose(self):
        # IoU .62 is enough at .5, .55 and .6 of ten thresholds.
        self.check([truth([A])], [found([[0, 0, 100, 62]], [0.9])], 1, 0.3)

    def test_twice(self):
        # A second detection of an object is a false positive, ranked before the other object's.
        ap = (51 + 50 * 2 / 3) / 101
        self.check([truth([A, B])], [found([A, A, B], [0.9, 0.8, 0.7])], ap, ap)

    def test_takes_the_nearest(self):
        # The first is matched with the object that it overlaps most, the second with the other.
        near = [10, 0, 110, 100]
        self.check([truth([A, near])], [found([near, A], [0.9, 0.8])], 1, 1)

    def test_images_share_an_order(self):
        # In one image .9 is correct, in the other .8 is wrong and .7 correct.
        ap = (51 + 50 * 2 / 3) / 101
        self.check([truth([A]), truth([B])], [found([A], [0.9]), found([FAR, B], [0.8, 0.7])], ap, ap)

    def test_classes(self):
        # The detection of class 1 is correct, that of class 0 is not; class 2 has no objects.
        self.check([truth([A, B], [0, 1])], [found([B, B, FAR], [0.9, 0.8, 0.7], [1, 0, 2])], 0.5, 0.5, classes=3)
        self.assertTrue(np.isnan(mean_average_precision([truth([])], [found([A], [1])], 1)[0]))

    def test_crowd(self):
        # Detections in a crowd are ignored, any number of them; those matched with an object are correct.
        crowd = [200, 0, 400, 100]
        inside = [[210, 0, 250, 100], [220, 0, 260, 100]]
        self.check([truth([A, crowd], crowd=[False, True])], [found([*inside, A], [0.9, 0.8, 0.7])], 1, 1)
        self.check([truth([A, crowd], crowd=[False, True])], [found([FAR, A], [0.9, 0.8])], 0.5, 0.5)

    def test_max_detections(self):
        # At most 100 detections per class and image count.
        wrong = [FAR] * 100
        self.check([truth([A])], [found([*wrong, A], [0.9] * 100 + [0.8])], 0, 0)
        self.check([truth([A])], [found([*wrong[1:], A], [0.9] * 99 + [0.8])], 0.01, 0.01)

    def test_overlaps(self):
        got = overlaps(np.array([A], float), np.array([A, [50, 0, 150, 100], B, [0, 0, 400, 400]], float), np.array([False, False, False, True]))
        np.testing.assert_allclose(got, [[1, 1 / 3, 0, 1]])


if __name__ == "__main__":
    unittest.main()
