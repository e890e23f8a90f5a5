/*
 * boxes_opencv.cpp: print and draw the best boxes of a cv::Mat.
 *
 *     c++ boxes_opencv.cpp -o boxes_opencv -I../../cmd/libproposer -I/usr/include/opencv4 -L../../bin -lproposer
 *         -Wl,-rpath,../../bin -lopencv_imgcodecs -lopencv_imgproc -lopencv_core
 *     ./boxes_opencv photo.png "mode=quality max=10" drawn.png
 */
#include <iostream>
#include <memory>
#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <proposer.h>
#include <stdexcept>
#include <vector>

// selectiveSearch returns the boxes of an image with 1, 3 or 4 channels of 8 bits, in OpenCV's order BGR.
// The image may be a part of another one; it is not copied.
std::vector<cv::Rect> selectiveSearch(const cv::Mat &image, const std::string &options) {
	CV_Assert(image.depth() == CV_8U && image.dims == 2);
	proposer_image pixels = {};
	pixels.pixels = image.data;
	pixels.width = image.cols;
	pixels.height = image.rows;
	pixels.channels = image.channels();
	pixels.channel_order = PROPOSER_BGR;
	pixels.row_stride = static_cast<ptrdiff_t>(image.step[0]);
	pixels.pixel_stride = static_cast<ptrdiff_t>(image.step[1]);
	pixels.channel_stride = 1;

	proposer_result *found;
	if (proposer_search(&pixels, options.c_str(), nullptr, &found) != PROPOSER_OK) {
		throw std::runtime_error(proposer_last_error());
	}
	std::unique_ptr<proposer_result, void (*)(proposer_result *)> result(found, proposer_result_free);
	std::vector<cv::Rect> boxes;
	for (size_t i = 0; i < result->count; i++) {
		const int32_t *box = result->boxes + 4 * i;
		boxes.emplace_back(cv::Point(box[0], box[1]), cv::Point(box[2], box[3]));
	}
	return boxes;
}

int main(int argc, char **argv) try {
	if (argc < 2 || argc > 4) {
		std::cerr << "usage: boxes_opencv IMAGE [OPTIONS [DRAWN.png]]\n";
		return 2;
	}
	cv::Mat image = cv::imread(argv[1]);
	if (image.empty()) {
		std::cerr << argv[1] << ": not an image that OpenCV reads\n";
		return 1;
	}
	const std::vector<cv::Rect> boxes = selectiveSearch(image, argc > 2 ? argv[2] : "max=10");
	for (const cv::Rect &box : boxes) {
		std::cout << box.x << " " << box.y << " " << box.width << " " << box.height << "\n";
	}
	if (argc == 4) {
		for (const cv::Rect &box : boxes) cv::rectangle(image, box, cv::Scalar(0, 255, 0));
		cv::imwrite(argv[3], image);
	}
	return 0;
} catch (const std::exception &e) {
	std::cerr << e.what() << "\n";
	return 1;
}
