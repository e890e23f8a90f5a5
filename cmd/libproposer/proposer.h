/*
 * proposer.h: region proposals by selective search.
 *
 *     proposer_image image = {.pixels = rgb, .width = 640, .height = 480, .channels = 3};
 *     proposer_result *result;
 *     if (proposer_search(&image, "mode=fast max=2000", NULL, &result) != PROPOSER_OK) {
 *         fprintf(stderr, "%s\n", proposer_last_error());
 *         exit(1);
 *     }
 *     for (size_t i = 0; i < result->count; i++) {
 *         const int32_t *box = result->boxes + 4 * i; // x0 y0 x1 y1
 *     }
 *     proposer_result_free(result);
 *
 * Calls. Every function that can fail returns a status. If it is not PROPOSER_OK, the result is set to
 * NULL, and proposer_last_error returns what was wrong and what would be right.
 *
 * Options are a string of name=value, separated by spaces, such as "mode=quality max=1000 nms=0.8". Names,
 * values and errors are those of the command and of the HTTP service. NULL stands for no options.
 * In addition there are
 *
 *     masks       rle: also return the region of each box; off (the default). proposer_search only
 *     max-pixels  the largest number of pixels of an image; 50000000
 *     max-bytes   the largest size of an image file in bytes; 67108864
 *
 * Memory. Arguments belong to the caller. The pixels are copied before the search begins. Results are
 * allocated with malloc and belong to the caller, who frees them with the function for their type.
 *
 * Threads. Any thread may call any function at any time. A search uses all processors, or as many as
 * the option threads says. Results do not depend on it.
 *
 * Signals. The library leaves SIGINT, SIGTERM and other signals alone. On Linux it handles SIGSEGV,
 * SIGBUS, SIGFPE, SIGPIPE and SIGURG of its own threads and passes others on to the handlers that were
 * installed before it was loaded. Handlers must be installed with the flag SA_ONSTACK. No function may
 * be called in a signal handler.
 *
 * Fork. The library has threads of its own, which a child of fork does not inherit: in the child, calls
 * fail with PROPOSER_FORKED. Call exec there, or load a copy of the library: dlopen of another file
 * with the same content gives an instance of its own. Results remain valid in the child; tokens do not.
 *
 * The library cannot be unloaded.
 */
#ifndef PROPOSER_H
#define PROPOSER_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * PROPOSER_ABI is the number of the binary interface. It grows with each change that breaks programs
 * which were compiled with an older header. New functions, and new fields at the end of results, do not
 * change it.
 */
#define PROPOSER_ABI 1

/* Status codes. */
enum {
	PROPOSER_OK = 0,
	PROPOSER_INVALID_OPTION, /* an option or another argument has an invalid value, or does not exist */
	PROPOSER_INVALID_IMAGE,  /* the pixels or the file are not a valid image of a supported format */
	PROPOSER_LIMIT,          /* the image, or what results of it, exceeds a limit */
	PROPOSER_CANCELED,       /* the token was canceled */
	PROPOSER_NO_MEMORY,      /* malloc returned NULL */
	PROPOSER_INTERNAL,       /* an error in the library: please report it */
	PROPOSER_FORKED          /* the process is a child of fork: see above */
};

/* Values of proposer_image.channel_order. */
enum { PROPOSER_RGB = 0, PROPOSER_BGR };

/*
 * A proposer_image describes pixels with 8 bits per sample, in memory of the caller. Sample c of pixel
 * (x, y) is at pixels + y*row_stride + x*pixel_stride + c*channel_stride. Strides are in bytes and may
 * be negative or 0. If all three are 0, the pixels are interleaved without gaps: row_stride is
 * width*channels, pixel_stride is channels, channel_stride is 1. The channel_stride of a gray image does
 * not matter otherwise.
 */
typedef struct proposer_image {
	const uint8_t *pixels; /* the first sample of pixel (0, 0) */
	int32_t width, height;
	int32_t channels;      /* 1: gray; 3: color; 4: color and alpha, which is composited over white */
	int32_t channel_order; /* PROPOSER_RGB or PROPOSER_BGR; alpha is the last in both */
	ptrdiff_t row_stride, pixel_stride, channel_stride;
} proposer_image;

/* A proposer_result holds the proposals of an image, the best first. */
typedef struct proposer_result {
	int32_t width, height; /* of the image */
	size_t count;          /* of the proposals */
	int32_t *boxes;        /* count x 4: x0, y0, x1, y1 in pixels of the image, half-open */
	float *scores;         /* count numbers in (0, 1], which strictly decrease */
	char **masks;          /* count regions in COCO's compressed run-length encoding; NULL without masks=rle */
	char *warning;         /* that the image may have lost detail; NULL if it has not */
} proposer_result;

/* A proposer_labels is a label image: it assigns each pixel of an image to a region. */
typedef struct proposer_labels {
	int32_t width, height; /* of the image */
	int32_t count;         /* of the regions */
	int32_t *labels;       /* width x height numbers from 0 to count-1, row by row */
	char *warning;         /* as in proposer_result */
} proposer_labels;

/* A proposer_node is a region of a merge tree. */
typedef struct proposer_node {
	int32_t box[4];      /* x0, y0, x1, y1 in pixels of the image */
	int32_t size;        /* of the region, in pixels of the searched image, which may have been resized */
	int32_t children[2]; /* the numbers of the two nodes that were merged into this one; -1 for a leaf */
	int32_t parent;      /* the number of the node that this one was merged into; -1 for the root */
	float similarity;    /* of the children when they were merged; infinite for a leaf */
} proposer_node;

/*
 * A proposer_merge_tree is the merge tree of a strategy: how the initial regions of an image were merged
 * to one region. The leaves, which are the initial regions, are the first nodes; the merged regions
 * follow in the order of the merges. The last node is the root.
 */
typedef struct proposer_merge_tree {
	int32_t width, height; /* of the image */
	int32_t leaves;        /* the number of initial regions */
	int32_t count;         /* of the nodes: 2*leaves - 1 */
	int32_t *labels;       /* width x height numbers of leaves, row by row */
	proposer_node *nodes;
} proposer_merge_tree;

/* A proposer_token cancels the calls that it is given to. */
typedef struct proposer_token proposer_token;

/* proposer_abi returns the PROPOSER_ABI of the library. Compare it with that of the header. */
uint32_t proposer_abi(void);

/* proposer_version returns the version of the library. It is never freed. */
const char *proposer_version(void);

/*
 * proposer_last_error returns the error of this thread's last call that failed, in UTF-8, or "" if
 * none has failed. It is valid until this thread's next call that can fail.
 */
const char *proposer_last_error(void);

/* proposer_search proposes boxes of an image. token may be NULL. */
int proposer_search(const proposer_image *image, const char *options, proposer_token *token, proposer_result **result);

/*
 * proposer_search_file proposes boxes of an encoded image of size bytes: JPEG, PNG, WebP, GIF, BMP or TIFF.
 * Decoding cannot be canceled, but the search can.
 */
int proposer_search_file(const void *data, size_t size, const char *options, proposer_token *token, proposer_result **result);

/*
 * A proposer_strategy is one way to group the regions of an image. It makes one merge tree, and each
 * region of the tree is a proposal.
 */
typedef struct proposer_strategy {
	const char *space; /* the color space that the image is converted to, as in the option colors;
	                      NULL: use images[image] as it is */
	int32_t image;     /* index of an image if space is NULL */
	int32_t min_size;  /* the smallest size of an initial region in pixels; 0: k */
	double k;          /* scale of the segmentation, in (0, 1e6] */
	double sigma;      /* smoothing before the segmentation in pixels, in [0, 16]; 0: that of the options */
	double color, texture, size, fill; /* weights of the similarity measures, in [0, 1], not all 0 */
} proposer_strategy;

/*
 * proposer_search_strategies is proposer_search with given strategies, at most 256, all different. They
 * replace those of the option mode, from which the connectivity of the pixels remains: 4 in the opencv
 * modes, else 8. The options must not resize the image.
 *
 * images are image_count further images of what is searched, at most 128, such as its conversion to a
 * color space that the library does not have. They have 1 or 3 channels and the size of image.
 * images may be NULL if image_count is 0.
 */
int proposer_search_strategies(const proposer_image *image, const proposer_image *images, int32_t image_count,
	const proposer_strategy *strategies, int32_t strategy_count,
	const char *options, proposer_token *token, proposer_result **result);

/* proposer_result_free frees a result. NULL is allowed. */
void proposer_result_free(proposer_result *result);

/*
 * proposer_segment segments an image into regions of similar color (Felzenszwalb and Huttenlocher 2004).
 * Its options are those of the command proposer segment: color, k, sigma, min-size, connectivity,
 * max-side, resize-width and threads. token may be NULL.
 */
int proposer_segment(const proposer_image *image, const char *options, proposer_token *token, proposer_labels **result);

/*
 * proposer_segment_file segments an encoded image of size bytes. It also has the options orientation and
 * depth.
 */
int proposer_segment_file(const void *data, size_t size, const char *options, proposer_token *token, proposer_labels **result);

/* proposer_labels_free frees a label image. NULL is allowed. */
void proposer_labels_free(proposer_labels *labels);

/* Values of proposer_samples.type. */
enum { PROPOSER_UINT8 = 0, PROPOSER_FLOAT64 };

/*
 * A proposer_samples describes an image with any number of channels, at most 1024, in memory of the
 * caller. Strides are as in proposer_image, in bytes. Bytes are divided by 255, doubles are used as they are.
 */
typedef struct proposer_samples {
	const void *samples; /* the first sample of pixel (0, 0) */
	int32_t width, height, channels;
	int32_t type; /* PROPOSER_UINT8 or PROPOSER_FLOAT64 */
	ptrdiff_t row_stride, pixel_stride, channel_stride;
} proposer_samples;

/*
 * proposer_felzenszwalb returns the labels of scikit-image's skimage.segmentation.felzenszwalb with the
 * same parameters. kernel has the weights of the Gaussian with standard deviation sigma, that of the
 * center first; NULL: they are computed. Only the weights that NumPy computes give labels that are always
 * equal. threads is the maximum number of processors, 0: all. token may be NULL.
 */
int proposer_felzenszwalb(const proposer_samples *image, double scale, double sigma, int64_t min_size,
	const double *kernel, int32_t kernel_size, int32_t threads, proposer_token *token, proposer_labels **result);

/*
 * proposer_graph_segmentation returns the labels of OpenCV's createGraphSegmentation(sigma, k,
 * min_size).processImage, up to rounding: OpenCV computes in float32, with results that depend on
 * the processor. Samples are from 0 to 255 here, also as doubles. threads is the maximum number of
 * processors, 0: all. token may be NULL.
 */
int proposer_graph_segmentation(const proposer_samples *image, double k, double sigma, int64_t min_size,
	int32_t threads, proposer_token *token, proposer_labels **result);

/*
 * proposer_tree returns the merge tree of one strategy. Its options are mode, strategy (the number of the
 * strategy in the mode, from 0; the default is 0), colors, k, measures, sigma, min-size, max-side,
 * resize-width and threads. token may be NULL.
 */
int proposer_tree(const proposer_image *image, const char *options, proposer_token *token, proposer_merge_tree **result);

/*
 * proposer_group returns the merge tree of the regions of a label image, such as that of
 * proposer_felzenszwalb or of another segmentation. labels are width x height numbers, row by row; each
 * number from 0 to the largest must occur, and that must be below 262144. The options are color (the color
 * space in which regions are compared; HSV) and measures (CTSF), as in proposer_tree. token may be NULL.
 */
int proposer_group(const proposer_image *image, const int32_t *labels, const char *options,
	proposer_token *token, proposer_merge_tree **result);

/* proposer_tree_free frees a merge tree. NULL is allowed. */
void proposer_tree_free(proposer_merge_tree *tree);

/*
 * proposer_token_new returns a new token, which can be given to any number of calls, or NULL if there
 * is no memory.
 */
proposer_token *proposer_token_new(void);

/*
 * proposer_token_cancel ends all calls that have the token, and all that will get it, with
 * PROPOSER_CANCELED: within milliseconds, unless they decode a file or copy the pixels or labels of a
 * large image.
 */
void proposer_token_cancel(proposer_token *token);

/* proposer_token_free frees a token. Calls that have it continue. NULL is allowed. */
void proposer_token_free(proposer_token *token);

#ifdef __cplusplus
}
#endif

#endif
