// A program that checks what the library does to its process: signals and children of fork.
#include <dlfcn.h>
#include <proposer.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t interrupts;

static void count_interrupt(int number) {
	(void)number;
	interrupts++;
}

static void fail(const char *what, int number) {
	fprintf(stderr, "%s %d\n", what, number);
	exit(1);
}

#define FUNCTION(name) static __typeof__(name) *call_##name
FUNCTION(proposer_search);
FUNCTION(proposer_last_error);
FUNCTION(proposer_result_free);
FUNCTION(proposer_token_new);
FUNCTION(proposer_token_cancel);
FUNCTION(proposer_token_free);
FUNCTION(proposer_version);

static uint8_t pixels[40 * 30];
static proposer_image image = {.pixels = pixels, .width = 40, .height = 30, .channels = 1};

static int search(proposer_result **result) { return call_proposer_search(&image, "mode=single", NULL, result); }

static void load(const char *name) {
	void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
	if (library == NULL) {
		fprintf(stderr, "%s\n", dlerror());
		exit(1);
	}
#define LOAD(name) *(void **)&call_##name = dlsym(library, #name)
	LOAD(proposer_search);
	LOAD(proposer_last_error);
	LOAD(proposer_result_free);
	LOAD(proposer_token_new);
	LOAD(proposer_token_cancel);
	LOAD(proposer_token_free);
	LOAD(proposer_version);
}

static void wait_for(pid_t child) {
	int status;
	if (child < 0 || waitpid(child, &status, 0) != child) fail("waitpid", child);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) fail("status of the child", status);
}

// check_fork checks that calls in a child fail, that results remain valid, and that a copy of the library
// works there.
static void check_fork(const char *copy, int depth) {
	proposer_result *result, *other;
	if (search(&result) != PROPOSER_OK) fail("search before fork", depth);
	proposer_token *token = call_proposer_token_new();
	fflush(NULL);
	pid_t child = fork();
	if (child == 0) {
		if (search(&other) != PROPOSER_FORKED || other != NULL) fail("search after fork", depth);
		if (strstr(call_proposer_last_error(), "forked") == NULL) fail("error after fork", depth);
		if (call_proposer_token_new() != NULL) fail("token after fork", depth);
		if (strlen(call_proposer_version()) == 0) fail("version after fork", depth);
		call_proposer_token_cancel(token);
		call_proposer_token_free(token);
		if (depth == 0) {
			load(copy);
			if (search(&other) != PROPOSER_OK) fail("search with a copy", depth);
			if (other->count != result->count || memcmp(other->boxes, result->boxes, 16 * result->count) != 0) fail("result of the copy", depth);
			call_proposer_result_free(other);
			check_fork(copy, 1);
		}
		call_proposer_result_free(result);
		exit(0);
	}
	wait_for(child);
	call_proposer_token_free(token);
	call_proposer_result_free(result);
	if (search(&result) != PROPOSER_OK) fail("search of the parent", depth);
	call_proposer_result_free(result);
}

int main(int argc, char **argv) {
	if (argc != 3) return 2;
	for (int i = 0; i < 40 * 30; i++) pixels[i] = i / 40 / 8 * 50 + i % 40 / 10 * 20;
	struct sigaction counting = {.sa_handler = count_interrupt}, before[NSIG], after;
	sigaction(SIGINT, &counting, NULL);
	for (int i = 1; i < NSIG; i++) sigaction(i, NULL, &before[i]);

	load(argv[1]);
	proposer_result *result;
	if (search(&result) != PROPOSER_OK) fail("search", 0);
	call_proposer_result_free(result);
	raise(SIGINT);
	if (interrupts != 1) fail("handler of SIGINT: calls", interrupts);
	for (int i = 1; i < NSIG; i++) {
		if (sigaction(i, NULL, &after) != 0) continue; // a signal of the C library
		// Go's runtime handles its own faults and passes others on; SIGURG interrupts its threads.
		int kept = after.sa_handler == before[i].sa_handler;
		int runtime = i == SIGSEGV || i == SIGBUS || i == SIGFPE || i == SIGURG || i == SIGPROF || i == SIGPIPE;
		if (!kept && !runtime) fail("the library has changed the handler of signal", i);
		if (!kept) printf("%d ", i);
	}
	check_fork(argv[2], 0);
	return 0;
}
