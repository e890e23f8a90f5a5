//go:build ignore

// dlib's find_candidate_object_locations as a peer, with the protocol of peer.go.

#include <chrono>
#include <cstdio>
#include <exception>
#include <iostream>
#include <string>
#include <vector>

#include <dlib/image_transforms.h>
#include <dlib/opencv.h>
#include <dlib/revision.h>
#include <opencv2/imgcodecs.hpp>

int main() {
  dlib::array2d<dlib::rgb_pixel> image;
  std::printf("{\"versions\":{\"dlib\":\"%d.%d\"}}\n", DLIB_MAJOR_VERSION, DLIB_MINOR_VERSION);
  std::fflush(stdout);
  for (std::string line; std::getline(std::cin, line); std::fflush(stdout)) {
    try {
      if (line.rfind("load ", 0) == 0) {
        cv::Mat bgr = cv::imread(line.substr(5));
        if (bgr.empty()) {
          std::printf("{\"error\":\"OpenCV cannot read the image\"}\n");
          continue;
        }
        dlib::assign_image(image, dlib::cv_image<dlib::bgr_pixel>(bgr));
        std::printf("{\"width\":%d,\"height\":%d}\n", bgr.cols, bgr.rows);
      } else if (line == "run candidates 1") {
        auto start = std::chrono::steady_clock::now();
        std::vector<dlib::rectangle> found;
        dlib::find_candidate_object_locations(image, found);
        std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
        std::printf("{\"seconds\":%.6f,\"found\":%zu}\n", took.count(), found.size());
      } else {
        std::printf("{\"error\":\"want load PATH, or run candidates 1\"}\n");
      }
    } catch (const std::exception&) {
      std::printf("{\"error\":\"dlib threw an exception\"}\n");
    }
  }
}
