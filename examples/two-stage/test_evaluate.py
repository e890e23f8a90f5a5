import unittest

import numpy as np

from evaluate import Found, Truth, mean_average_precision, overlaps


def truth(boxes, classes=None, crowd=None):
    n = len(boxes)
    return Truth(np.array(boxes, float).reshape(-1, 4), np.array(classes or [0] * n, int), np.array(crowd or [False] * n, bool))


def found(boxes, scores, classes=None):
    return Found(np.array(boxes, float).reshape(-1, 4), np.array(scores, float), np.array(classes or [0] * len(boxes), int))


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
        # Precision is 1 up to a recall of .5, which 51 of the 101 are, and 2/3 up to 1.
        ap = (51 + 50 * 2 / 3) / 101
        self.check([truth([A, B])], [found([A, FAR, B], [0.9, 0.8, 0.7])], ap, ap)

    def test_wrong_first(self):
        # 1/2 at a recall of .5, 2/3 at 1: the better of later ones counts.
        self.check([truth([A, B])], [found([FAR, A, B], [0.9, 0.8, 0.7])], 2 / 3, 2 / 3)

    def test_half_found(self):
        self.check([truth([A, B])], [found([A], [0.9])], 51 / 101, 51 / 101)

    def test_loose(self):
        # IoU .62 is enough at .5, .55 and .6 of ten thresholds.
        self.check([truth([A])], [found([[0, 0, 100, 62]], [0.9])], 1, 0.3)

    def test_twice(self):
        # The second on the same object is wrong, and so comes before the right one of the other.
        ap = (51 + 50 * 2 / 3) / 101
        self.check([truth([A, B])], [found([A, A, B], [0.9, 0.8, 0.7])], ap, ap)

    def test_takes_the_nearest(self):
        # The first takes the object that it fits best, and leaves the other to the second.
        near = [10, 0, 110, 100]
        self.check([truth([A, near])], [found([near, A], [0.9, 0.8])], 1, 1)

    def test_pictures_share_an_order(self):
        # In one picture .9 is right, in the other .8 wrong and .7 right.
        ap = (51 + 50 * 2 / 3) / 101
        self.check([truth([A]), truth([B])], [found([A], [0.9]), found([FAR, B], [0.8, 0.7])], ap, ap)

    def test_classes(self):
        # Of class 1 the box is right, of class 0 it is on nothing; class 2 has no objects.
        self.check([truth([A, B], [0, 1])], [found([B, B, FAR], [0.9, 0.8, 0.7], [1, 0, 2])], 0.5, 0.5, classes=3)
        self.assertTrue(np.isnan(mean_average_precision([truth([])], [found([A], [1])], 1)[0]))

    def test_crowd(self):
        # What lies in a crowd is neither right nor wrong, however much there is; what an object takes is right.
        crowd = [200, 0, 400, 100]
        inside = [[210, 0, 250, 100], [220, 0, 260, 100]]
        self.check([truth([A, crowd], crowd=[False, True])], [found([*inside, A], [0.9, 0.8, 0.7])], 1, 1)
        self.check([truth([A, crowd], crowd=[False, True])], [found([FAR, A], [0.9, 0.8])], 0.5, 0.5)

    def test_most(self):
        # Of a class a hundred detections of a picture count.
        wrong = [FAR] * 100
        self.check([truth([A])], [found([*wrong, A], [0.9] * 100 + [0.8])], 0, 0)
        self.check([truth([A])], [found([*wrong[1:], A], [0.9] * 99 + [0.8])], 0.01, 0.01)

    def test_overlaps(self):
        got = overlaps(np.array([A], float), np.array([A, [50, 0, 150, 100], B, [0, 0, 400, 400]], float), np.array([False, False, False, True]))
        np.testing.assert_allclose(got, [[1, 1 / 3, 0, 1]])


if __name__ == "__main__":
    unittest.main()
