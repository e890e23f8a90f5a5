#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

// cstderr_redirect returns 0, or an error number.
int cstderr_redirect(void);

// cstderr_begin captures what this thread prints, unless there is no memory. The first capacity bytes are
// kept.
void cstderr_begin(size_t capacity);

// cstderr_text returns what was captured so far, its length, and the number of lines with those that were
// not kept. The text is valid until cstderr_end.
const char *cstderr_text(size_t *length, size_t *lines);

void cstderr_end(void);

#ifdef __cplusplus
}
#endif
