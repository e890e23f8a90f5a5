// What the Go files need of proposer.c.
#include <stddef.h>

// proposer_set_last_error sets the error that proposer_last_error returns.
void proposer_set_last_error(const char *text, size_t size);

// proposer_alloc is malloc; the C.malloc of cgo ends the process if there is no memory.
void *proposer_alloc(size_t size);
