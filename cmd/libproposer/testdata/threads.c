// A program that calls the library in several threads at a time and compares their results with that of
// one thread. Every call has its token; some are canceled while they run.
#include <proposer.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS = 8, CALLS = 12, WIDTH = 120, HEIGHT = 90 };

static uint8_t pixels[HEIGHT][WIDTH][3];
static proposer_image image = {.pixels = &pixels[0][0][0], .width = WIDTH, .height = HEIGHT, .channels = 3};
static proposer_result *want;

static void fail(const char *what) {
	fprintf(stderr, "%s: %s\n", what, proposer_last_error());
	exit(1);
}

static int equal(const proposer_result *a, const proposer_result *b) {
	if (a->count != b->count) return 0;
	for (size_t i = 0; i < a->count; i++) {
		if (strcmp(a->masks[i], b->masks[i]) != 0) return 0;
	}
	return memcmp(a->boxes, b->boxes, a->count * 4 * sizeof *a->boxes) == 0 &&
		memcmp(a->scores, b->scores, a->count * sizeof *a->scores) == 0;
}

static void *cancel(void *token) {
	proposer_token_cancel(token);
	return NULL;
}

static void *search(void *number) {
	for (int call = 0; call < CALLS; call++) {
		proposer_result *result;
		char option[32];
		sprintf(option, "max=%d%d", *(int *)number, call);
		strcat(option, "x");
		if (proposer_search(&image, option, NULL, &result) != PROPOSER_INVALID_OPTION) fail("invalid option");
		if (strstr(proposer_last_error(), option + 4) == NULL) fail("the error of another thread");

		proposer_token *token = proposer_token_new();
		pthread_t canceler;
		int canceled = call % 3 == 0;
		if (canceled && pthread_create(&canceler, NULL, cancel, token) != 0) fail("pthread_create");
		int status = proposer_search(&image, "masks=rle", token, &result);
		if (canceled) pthread_join(canceler, NULL);
		proposer_token_free(token);
		if (status == PROPOSER_CANCELED && canceled) continue;
		if (status != PROPOSER_OK) fail("search");
		if (!equal(result, want)) fail("another result");
		proposer_result_free(result);
	}
	return NULL;
}

int main(void) {
	for (int y = 0; y < HEIGHT; y++) {
		for (int x = 0; x < WIDTH; x++) {
			pixels[y][x][0] = 2 * x;
			pixels[y][x][1] = (x / 16 + y / 12) % 3 * 80;
			pixels[y][x][2] = (x - 60) * (x - 60) + (y - 40) * (y - 40) < 600 ? 250 : y;
		}
	}
	if (proposer_search(&image, "masks=rle", NULL, &want) != PROPOSER_OK) fail("search");
	if (want->count < 10) fail("too few boxes to compare");

	pthread_t threads[THREADS];
	int numbers[THREADS];
	pthread_attr_t small; // Go has stacks of its own
	pthread_attr_init(&small);
	if (pthread_attr_setstacksize(&small, 64 << 10) != 0) fail("pthread_attr_setstacksize");
	for (int i = 0; i < THREADS; i++) {
		numbers[i] = i + 1;
		if (pthread_create(&threads[i], i % 2 == 0 ? NULL : &small, search, &numbers[i]) != 0) fail("pthread_create");
	}
	for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
	if (strcmp(proposer_last_error(), "") != 0) fail("the error of another thread");
	proposer_result_free(want);
	return 0;
}
