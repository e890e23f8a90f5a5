// What the Go files need of proposer.c.
#include <stddef.h>

// proposer_set_last_error sets the error that proposer_last_error returns.
void proposer_set_last_error(const char *text, size_t size);

// proposer_alloc is malloc; the C.malloc of cgo ends the process if there is no memory.
void *proposer_alloc(size_t size);

// EXPORT makes a function visible outside of the library.
#ifdef _WIN32
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif
