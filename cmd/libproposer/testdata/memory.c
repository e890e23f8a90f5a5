// A program that calls all functions many times and prints how much more memory it takes after the last
// call than after the first tenth: allocated with malloc, and in all.
#include <malloc.h>
#include <proposer.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { WIDTH = 64, HEIGHT = 48 };

static uint8_t pixels[HEIGHT * WIDTH * 3];
static proposer_image image = {.pixels = pixels, .width = WIDTH, .height = HEIGHT, .channels = 3};

static void check(int status, int want) {
	if (status == want) return;
	fprintf(stderr, "status %d: %s\n", status, proposer_last_error());
	exit(1);
}

static void *call_all(void *nothing) {
	proposer_result *result;
	proposer_labels *labels;
	proposer_merge_tree *tree;
	proposer_token *token = proposer_token_new();
	check(proposer_search(&image, "masks=rle", token, &result), PROPOSER_OK);
	proposer_result_free(result);
	check(proposer_segment(&image, NULL, token, &labels), PROPOSER_OK);
	proposer_labels_free(labels);
	check(proposer_tree(&image, NULL, NULL, &tree), PROPOSER_OK);
	proposer_tree_free(tree);
	proposer_strategy strategies[] = {
		{.space = "Lab", .k = 100, .color = 1, .size = 1},
		{.image = 0, .k = 50, .sigma = 0.5, .min_size = 20, .fill = 0.5},
	};
	check(proposer_search_strategies(&image, &image, 1, strategies, 2, "masks=rle", token, &result), PROPOSER_OK);
	proposer_result_free(result);
	proposer_samples samples = {.samples = pixels, .width = WIDTH, .height = HEIGHT, .channels = 3};
	check(proposer_felzenszwalb(&samples, 100, 0.8, 20, NULL, 0, 0, token, &labels), PROPOSER_OK);
	proposer_labels_free(labels);
	check(proposer_graph_segmentation(&samples, 300, 0.5, 100, 0, token, &labels), PROPOSER_OK);
	proposer_labels_free(labels);
	check(proposer_search(&image, "max=all", token, &result), PROPOSER_INVALID_OPTION);
	check(proposer_search_file(pixels, sizeof pixels, NULL, token, &result), PROPOSER_INVALID_IMAGE);
	proposer_token_cancel(token);
	check(proposer_search(&image, NULL, token, &result), PROPOSER_CANCELED);
	proposer_token_free(token);
	return nothing;
}

static long resident(void) {
	long pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");
	if (f == NULL || fscanf(f, "%*d %ld", &pages) != 1) exit(2);
	fclose(f);
	return pages * 4;
}

int main(int argc, char **argv) {
	int calls = argc == 2 ? atoi(argv[1]) : 0;
	for (size_t i = 0; i < sizeof pixels; i++) pixels[i] = i % 7 * 5 + i / 900 * 16;
	long allocated = 0, total = 0;
	for (int i = 0; i < calls; i++) {
		if (i == calls / 10) {
			allocated = mallinfo2().uordblks / 1024;
			total = resident();
		}
		if (i % 10 != 0) {
			call_all(NULL);
			continue;
		}
		pthread_t thread; // a thread that ends must leave nothing behind
		if (pthread_create(&thread, NULL, call_all, NULL) != 0) return 3;
		pthread_join(thread, NULL);
	}
	printf("%ld %ld\n", mallinfo2().uordblks / 1024 - allocated, resident() - total);
	return 0;
}
