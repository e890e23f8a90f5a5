// See proposer.c.
#include "proposer.h"
#include "_cgo_export.h"
#include "internal.h"

EXPORT int proposer_felzenszwalb(const proposer_samples *image, double scale, double sigma, int64_t min_size,
	const double *kernel, int32_t kernel_size, int32_t threads, proposer_token *token, proposer_labels **result) {
	REQUIRE_RUNTIME(result);
	return goFelzenszwalb((proposer_samples *)image, scale, sigma, min_size, (double *)kernel, kernel_size,
		threads, (uintptr_t)token, result);
}

EXPORT int proposer_graph_segmentation(const proposer_samples *image, double k, double sigma, int64_t min_size,
	int32_t threads, proposer_token *token, proposer_labels **result) {
	REQUIRE_RUNTIME(result);
	return goGraphSegmentation((proposer_samples *)image, k, sigma, min_size, threads, (uintptr_t)token, result);
}

EXPORT int proposer_group(const proposer_image *image, const int32_t *labels, const char *options,
	proposer_token *token, proposer_merge_tree **result) {
	REQUIRE_RUNTIME(result);
	return goGroup((proposer_image *)image, (int32_t *)labels, (char *)options, (uintptr_t)token, result);
}
