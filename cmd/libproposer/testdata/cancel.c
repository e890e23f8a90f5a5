// A program that cancels a search of minutes after it has begun.
#include <proposer.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { WIDTH = 6000, HEIGHT = 4000 };

static struct timespec canceled;

static void *cancel(void *token) {
	struct timespec pause = {.tv_nsec = 300 * 1000 * 1000};
	nanosleep(&pause, NULL); // to be in the middle of the search; the result does not depend on it
	clock_gettime(CLOCK_MONOTONIC, &canceled);
	proposer_token_cancel(token);
	return NULL;
}

int main(void) {
	uint8_t *pixels = malloc(WIDTH * HEIGHT);
	if (pixels == NULL) return 1;
	uint32_t state = 1;
	for (int i = 0; i < WIDTH * HEIGHT; i++) pixels[i] = (state = state * 1664525 + 1013904223) >> 24;
	proposer_image image = {.pixels = pixels, .width = WIDTH, .height = HEIGHT, .channels = 1};

	proposer_token *token = proposer_token_new();
	pthread_t canceler;
	if (pthread_create(&canceler, NULL, cancel, token) != 0) return 1;
	proposer_result *result;
	int status = proposer_search(&image, "mode=quality min-size=200", token, &result);
	struct timespec end;
	clock_gettime(CLOCK_MONOTONIC, &end);
	pthread_join(canceler, NULL);
	printf("%.1f ms after it was canceled\n", (end.tv_sec - canceled.tv_sec) * 1e3 + (end.tv_nsec - canceled.tv_nsec) / 1e6);
	if (status != PROPOSER_CANCELED) {
		fprintf(stderr, "status %d: %s\n", status, proposer_last_error());
		return 1;
	}
	status = proposer_search(&image, NULL, token, &result); // a token stays canceled
	if (status != PROPOSER_CANCELED) return 1;
	proposer_token_free(token);
	free(pixels);
	return 0;
}
