//go:build linux && cgo && gocv_specific_modules

#include "capture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <iostream>
#include <streambuf>

namespace {

struct Capture {
	size_t capacity, length, lines;
	bool inLine; // a line has begun
	char text[1];
};

__thread Capture *current;

// print captures data, or prints it.
void print(const char *data, size_t n) {
	Capture *c = current;
	if (!c) {
		while (n > 0) {
			ssize_t written = write(STDERR_FILENO, data, n);
			if (written < 0 && errno == EINTR) continue;
			if (written <= 0) return;
			data += written;
			n -= written;
		}
		return;
	}
	for (size_t i = 0; i < n; i++) {
		if (!c->inLine) c->lines++;
		c->inLine = data[i] != '\n';
	}
	size_t kept = c->capacity - c->length;
	if (kept > n) kept = n;
	memcpy(c->text + c->length, data, kept);
	c->length += kept;
}

ssize_t writeCookie(void *, const char *data, size_t n) {
	print(data, n);
	return n;
}

// Buffer is the buffer of a C++ stream, without state.
class Buffer : public std::streambuf {
	int_type overflow(int_type ch) {
		if (traits_type::eq_int_type(ch, traits_type::eof())) return traits_type::not_eof(ch);
		char c = traits_type::to_char_type(ch);
		print(&c, 1);
		return ch;
	}
	std::streamsize xsputn(const char *data, std::streamsize n) {
		print(data, n);
		return n;
	}
};

}  // namespace

int cstderr_redirect(void) {
#ifdef __GLIBC__ // where the variable can be assigned
	cookie_io_functions_t functions = {};
	functions.write = writeCookie;
	FILE *stream = fopencookie(nullptr, "w", functions);
	if (!stream) return errno ? errno : ENOMEM;
	setvbuf(stream, nullptr, _IONBF, 0);
	static Buffer buffer;
	stderr = stream;
	std::cerr.rdbuf(&buffer);
	std::clog.rdbuf(&buffer);
	return 0;
#else
	return ENOSYS;
#endif
}

void cstderr_begin(size_t capacity) {
	current = static_cast<Capture *>(calloc(1, sizeof(Capture) + capacity));
	if (current) current->capacity = capacity;
}

const char *cstderr_text(size_t *length, size_t *lines) {
	*length = current ? current->length : 0;
	*lines = current ? current->lines : 0;
	return current ? current->text : nullptr;
}

void cstderr_end(void) {
	free(current);
	current = nullptr;
}
