// The binary interface with number 1, on machines with pointers of 64 bits. Programs that were compiled
// with it must run with every library of this number: fields may be added at the end of results alone.
#include <proposer.h>
#include <stddef.h>

#define SIZE(type, size) _Static_assert(sizeof(type) == (size), "size of " #type)
#define FIELD(type, name, at) _Static_assert(offsetof(type, name) == (at), #type "." #name)

_Static_assert(PROPOSER_ABI == 1, "describe the new interface here");

_Static_assert(PROPOSER_OK == 0 && PROPOSER_INVALID_OPTION == 1 && PROPOSER_INVALID_IMAGE == 2 && PROPOSER_LIMIT == 3 &&
	PROPOSER_CANCELED == 4 && PROPOSER_NO_MEMORY == 5 && PROPOSER_INTERNAL == 6 && PROPOSER_FORKED == 7, "status codes");
_Static_assert(PROPOSER_RGB == 0 && PROPOSER_BGR == 1, "channel orders");

SIZE(proposer_image, 48);
FIELD(proposer_image, pixels, 0);
FIELD(proposer_image, width, 8);
FIELD(proposer_image, height, 12);
FIELD(proposer_image, channels, 16);
FIELD(proposer_image, channel_order, 20);
FIELD(proposer_image, row_stride, 24);
FIELD(proposer_image, pixel_stride, 32);
FIELD(proposer_image, channel_stride, 40);

FIELD(proposer_result, width, 0);
FIELD(proposer_result, height, 4);
FIELD(proposer_result, count, 8);
FIELD(proposer_result, boxes, 16);
FIELD(proposer_result, scores, 24);
FIELD(proposer_result, masks, 32);
FIELD(proposer_result, warning, 40);

FIELD(proposer_labels, width, 0);
FIELD(proposer_labels, height, 4);
FIELD(proposer_labels, count, 8);
FIELD(proposer_labels, labels, 16);
FIELD(proposer_labels, warning, 24);

SIZE(proposer_node, 36);
FIELD(proposer_node, box, 0);
FIELD(proposer_node, size, 16);
FIELD(proposer_node, children, 20);
FIELD(proposer_node, parent, 28);
FIELD(proposer_node, similarity, 32);

FIELD(proposer_merge_tree, width, 0);
FIELD(proposer_merge_tree, height, 4);
FIELD(proposer_merge_tree, leaves, 8);
FIELD(proposer_merge_tree, count, 12);
FIELD(proposer_merge_tree, labels, 16);
FIELD(proposer_merge_tree, nodes, 24);

SIZE(proposer_strategy, 64);
FIELD(proposer_strategy, space, 0);
FIELD(proposer_strategy, image, 8);
FIELD(proposer_strategy, min_size, 12);
FIELD(proposer_strategy, k, 16);
FIELD(proposer_strategy, sigma, 24);
FIELD(proposer_strategy, color, 32);
FIELD(proposer_strategy, texture, 40);
FIELD(proposer_strategy, size, 48);
FIELD(proposer_strategy, fill, 56);

SIZE(proposer_samples, 48);
FIELD(proposer_samples, samples, 0);
FIELD(proposer_samples, width, 8);
FIELD(proposer_samples, height, 12);
FIELD(proposer_samples, channels, 16);
FIELD(proposer_samples, type, 20);
FIELD(proposer_samples, row_stride, 24);
FIELD(proposer_samples, pixel_stride, 32);
FIELD(proposer_samples, channel_stride, 40);

int main(void) { return proposer_abi() != PROPOSER_ABI; }
