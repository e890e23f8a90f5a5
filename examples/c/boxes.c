/*
 * boxes.c: print the best boxes of an image file.
 *
 *     cc boxes.c -o boxes -I../../cmd/libproposer -L../../bin -lproposer -Wl,-rpath,../../bin
 *     ./boxes photo.jpg "mode=quality max=10"
 */
#include <inttypes.h>
#include <proposer.h>
#include <stdio.h>
#include <stdlib.h>

/* read_file returns the content of a file, and its size, or NULL. */
static void *read_file(const char *name, size_t *size) {
	FILE *f = fopen(name, "rb");
	if (f == NULL) return NULL;
	void *data = NULL;
	long end;
	if (fseek(f, 0, SEEK_END) == 0 && (end = ftell(f)) > 0 && fseek(f, 0, SEEK_SET) == 0) {
		*size = end;
		data = malloc(*size);
		if (data != NULL && fread(data, *size, 1, f) != 1) {
			free(data);
			data = NULL;
		}
	}
	fclose(f);
	return data;
}

int main(int argc, char **argv) {
	if (argc != 2 && argc != 3) {
		fprintf(stderr, "usage: boxes IMAGE [OPTIONS]\n");
		return 2;
	}
	if (proposer_abi() != PROPOSER_ABI) {
		fprintf(stderr, "libproposer %s has another ABI than the header\n", proposer_version());
		return 1;
	}
	size_t size;
	void *data = read_file(argv[1], &size);
	if (data == NULL) {
		perror(argv[1]);
		return 1;
	}
	proposer_result *result;
	int status = proposer_search_file(data, size, argc == 3 ? argv[2] : "max=10", NULL, &result);
	free(data);
	if (status != PROPOSER_OK) {
		fprintf(stderr, "%s: %s\n", argv[1], proposer_last_error());
		return 1;
	}
	for (size_t i = 0; i < result->count; i++) {
		const int32_t *box = result->boxes + 4 * i;
		printf("%" PRId32 " %" PRId32 " %" PRId32 " %" PRId32 " %.6f\n", box[0], box[1], box[2], box[3], result->scores[i]);
	}
	proposer_result_free(result);
	return 0;
}
