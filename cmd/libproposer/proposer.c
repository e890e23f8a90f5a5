// The functions of proposer.h. They pass their arguments to Go, which cannot declare const parameters.
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "proposer.h"
#include "_cgo_export.h"
#include "internal.h"

// The last error of each thread. A thread-local array would need space in the static TLS block, as Go's
// runtime has the library loaded with the flag DF_STATIC_TLS; that space is scarce.
static pthread_key_t last_error_key;
static int last_error_ok;

int proposer_forked;

#ifndef _WIN32
static void set_forked(void) { proposer_forked = 1; }
#endif

__attribute__((constructor)) static void load(void) {
	last_error_ok = pthread_key_create(&last_error_key, free) == 0;
#ifndef _WIN32
	pthread_atfork(NULL, NULL, set_forked);
#endif
}

int proposer_fail_forked(void) {
	static const char text[] = "the process was forked after the library had been loaded: want exec, or a copy of the library loaded in the child";
	proposer_set_last_error(text, sizeof text - 1);
	return PROPOSER_FORKED;
}

void proposer_set_last_error(const char *text, size_t size) {
	if (!last_error_ok) return;
	char *copy = malloc(size + 1);
	if (copy != NULL) {
		memcpy(copy, text, size);
		copy[size] = 0;
	}
	free(pthread_getspecific(last_error_key));
	pthread_setspecific(last_error_key, copy);
}

void *proposer_alloc(size_t size) { return malloc(size); }

EXPORT const char *proposer_last_error(void) {
	const char *text = last_error_ok ? pthread_getspecific(last_error_key) : NULL;
	return text != NULL ? text : "";
}

EXPORT uint32_t proposer_abi(void) { return PROPOSER_ABI; }

EXPORT const char *proposer_version(void) { return proposer_forked ? "unknown" : goVersion(); }

EXPORT int proposer_search(const proposer_image *image, const char *options, proposer_token *token, proposer_result **result) {
	REQUIRE_RUNTIME(result);
	return goSearch((proposer_image *)image, (char *)options, (uintptr_t)token, result);
}

EXPORT int proposer_search_file(const void *data, size_t size, const char *options, proposer_token *token, proposer_result **result) {
	REQUIRE_RUNTIME(result);
	return goSearchFile((void *)data, size, (char *)options, (uintptr_t)token, result);
}

EXPORT int proposer_search_strategies(const proposer_image *image, const proposer_image *images, int32_t image_count,
	const proposer_strategy *strategies, int32_t strategy_count,
	const char *options, proposer_token *token, proposer_result **result) {
	REQUIRE_RUNTIME(result);
	return goSearchStrategies((proposer_image *)image, (proposer_image *)images, image_count,
		(proposer_strategy *)strategies, strategy_count, (char *)options, (uintptr_t)token, result);
}

EXPORT void proposer_result_free(proposer_result *result) { free(result); }

EXPORT int proposer_segment(const proposer_image *image, const char *options, proposer_token *token, proposer_labels **result) {
	REQUIRE_RUNTIME(result);
	return goSegment((proposer_image *)image, (char *)options, (uintptr_t)token, result);
}

EXPORT int proposer_segment_file(const void *data, size_t size, const char *options, proposer_token *token, proposer_labels **result) {
	REQUIRE_RUNTIME(result);
	return goSegmentFile((void *)data, size, (char *)options, (uintptr_t)token, result);
}

EXPORT void proposer_labels_free(proposer_labels *labels) { free(labels); }

EXPORT int proposer_tree(const proposer_image *image, const char *options, proposer_token *token, proposer_merge_tree **result) {
	REQUIRE_RUNTIME(result);
	return goTree((proposer_image *)image, (char *)options, (uintptr_t)token, result);
}

EXPORT void proposer_tree_free(proposer_merge_tree *tree) { free(tree); }

EXPORT proposer_token *proposer_token_new(void) {
	if (proposer_forked) {
		proposer_fail_forked();
		return NULL;
	}
	return (proposer_token *)goTokenNew();
}

EXPORT void proposer_token_cancel(proposer_token *token) {
	if (!proposer_forked) goTokenCancel((uintptr_t)token);
}

EXPORT void proposer_token_free(proposer_token *token) {
	if (!proposer_forked) goTokenFree((uintptr_t)token);
}
