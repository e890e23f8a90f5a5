// What the files of this package share, beside proposer.h.
#include <stddef.h>

// proposer_set_last_error sets the error that proposer_last_error returns.
void proposer_set_last_error(const char *text, size_t size);

// proposer_alloc is malloc; the C.malloc of cgo ends the process if there is no memory.
void *proposer_alloc(size_t size);

// proposer_forked is 1 in a child of fork, which does not have the threads of Go's runtime: calls would
// wait for them forever.
extern int proposer_forked;

// proposer_fail_forked sets the last error and returns PROPOSER_FORKED.
int proposer_fail_forked(void);

// REQUIRE_RUNTIME returns PROPOSER_FORKED from a function in a child of fork. Every function that returns
// a status begins with it.
#define REQUIRE_RUNTIME(result) \
	do { \
		if (proposer_forked) { \
			if ((result) != NULL) *(result) = NULL; \
			return proposer_fail_forked(); \
		} \
	} while (0)

// EXPORT makes a function visible outside of the library.
#ifdef _WIN32
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif
