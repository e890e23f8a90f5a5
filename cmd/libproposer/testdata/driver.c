// A program that calls the library for tests in Go. It reads requests from standard input and writes
// responses to standard output, in the byte order of the machine.
#include <proposer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct request {
	int32_t function, width, height, channels, channel_order, null_arguments;
	int64_t row_stride, pixel_stride, channel_stride;
	int64_t offset; // of pixel (0, 0) in the data
	int64_t data_size, options_size;
};

enum { SEARCH, SEARCH_FILE, SEGMENT, SEGMENT_FILE, TREE };
enum {
	NULL_IMAGE = 1, NULL_DATA = 2, NULL_OPTIONS = 4, NULL_RESULT = 8, FREED_TOKEN = 16, CANCELED_TOKEN = 32,
	UNMAPPED_DATA = 64,
};

static void put(const void *data, size_t size) {
	if (size > 0 && fwrite(data, size, 1, stdout) != 1) exit(2);
}

static void put_int(int32_t v) { put(&v, sizeof v); }

static void put_text(const char *text) {
	put_int(text == NULL ? -1 : (int32_t)strlen(text));
	if (text != NULL) put(text, strlen(text));
}

static void *get(int64_t size) {
	char *data = malloc(size + 1);
	if (data == NULL || (size > 0 && fread(data, size, 1, stdin) != 1)) exit(3);
	data[size] = 0;
	return data;
}

static void put_result(proposer_result *r) {
	put_int(r->width);
	put_int(r->height);
	put_int(r->count);
	put(r->boxes, r->count * 4 * sizeof *r->boxes);
	put(r->scores, r->count * sizeof *r->scores);
	put_int(r->masks != NULL);
	for (size_t i = 0; r->masks != NULL && i < r->count; i++) put_text(r->masks[i]);
	put_text(r->warning);
	proposer_result_free(r);
}

static void put_labels(proposer_labels *l) {
	put_int(l->width);
	put_int(l->height);
	put_int(l->count);
	put(l->labels, sizeof *l->labels * l->width * l->height);
	put_text(l->warning);
	proposer_labels_free(l);
}

static void put_tree(proposer_merge_tree *t) {
	put_int(t->width);
	put_int(t->height);
	put_int(t->leaves);
	put_int(t->count);
	put(t->labels, sizeof *t->labels * t->width * t->height);
	put(t->nodes, t->count * sizeof *t->nodes);
	proposer_tree_free(t);
}

int main(void) {
	struct request q;
	while (fread(&q, sizeof q, 1, stdin) == 1) {
		uint8_t *data = get(q.data_size);
		char *options = get(q.options_size);
		proposer_image image = {
			.pixels = q.null_arguments & NULL_DATA ? NULL : data + q.offset,
			.width = q.width, .height = q.height, .channels = q.channels, .channel_order = q.channel_order,
			.row_stride = q.row_stride, .pixel_stride = q.pixel_stride, .channel_stride = q.channel_stride,
		};
		const proposer_image *img = q.null_arguments & NULL_IMAGE ? NULL : &image;
		const void *file = q.null_arguments & NULL_DATA ? NULL : data;
		if (q.null_arguments & UNMAPPED_DATA) {
			file = mmap(NULL, q.data_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
			image.pixels = file;
		}
		const char *opts = q.null_arguments & NULL_OPTIONS ? NULL : options;
		proposer_token *token = NULL;
		if (q.null_arguments & (FREED_TOKEN | CANCELED_TOKEN)) token = proposer_token_new();
		if (q.null_arguments & CANCELED_TOKEN) proposer_token_cancel(token);
		if (q.null_arguments & FREED_TOKEN) proposer_token_free(token);

		// A result that is not set by a call that fails would be freed or read by careless callers.
		void *result = &q;
		void *into = q.null_arguments & NULL_RESULT ? NULL : &result;
		int status = -1;
		switch (q.function) {
		case SEARCH: status = proposer_search(img, opts, token, into); break;
		case SEARCH_FILE: status = proposer_search_file(file, q.data_size, opts, token, into); break;
		case SEGMENT: status = proposer_segment(img, opts, token, into); break;
		case SEGMENT_FILE: status = proposer_segment_file(file, q.data_size, opts, token, into); break;
		case TREE: status = proposer_tree(img, opts, token, into); break;
		}
		put_int(status);
		if (status != PROPOSER_OK) {
			if (into != NULL && result != NULL) return 4;
			put_text(proposer_last_error());
		} else if (q.function == SEGMENT || q.function == SEGMENT_FILE) {
			put_labels(result);
		} else if (q.function == TREE) {
			put_tree(result);
		} else {
			put_result(result);
		}
		fflush(stdout);
		free(data);
		free(options);
		if (q.null_arguments & CANCELED_TOKEN) proposer_token_free(token);
	}
	return 0;
}
