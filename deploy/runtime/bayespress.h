/* bayespress.h - run a compiled network from its .bpz weights. C99; the library needs memcpy, memset and what
 * the kernels ask of libm, allocates nothing and prints nothing.
 *
 * One network is linked in, with its kernels and their schedule. Memory: the caller gives one workspace, which
 * holds the decoded weights and all activations; the .bpz bytes are not needed after bp_load. Threads: a network
 * serves one call at a time; bp_fork makes further ones that share its weights, one for each thread.
 */
#ifndef BAYESPRESS_H
#define BAYESPRESS_H

#include <stddef.h>
#include <stdint.h>

/* Version of this library; a test compares it with the package's. */
#define BAYESPRESS_VERSION_MAJOR 0
#define BAYESPRESS_VERSION_MINOR 1
#define BAYESPRESS_VERSION_PATCH 0

#ifdef __cplusplus
extern "C" {
#endif

/* Fixed numbers: they are printed and compared by other programs. */
typedef enum bp_status {
    BP_OK = 0,
    BP_ERROR_WEIGHTS = 1,   /* the .bpz cannot be decoded; bp_network.weights_status says why */
    BP_ERROR_MISMATCH = 2,  /* a sound .bpz, but not of this network: a tensor missing, surplus or of another shape, or
                               one that was compiled for fewer entries */
    BP_ERROR_WORKSPACE = 3, /* too small, or not aligned to BP_ALIGNMENT */
    BP_ERROR_ARGUMENT = 4,  /* NULL, or a number out of range */
    BP_ERROR_KERNEL = 5,    /* a kernel reported failure */
    BP_ERROR_DEVICE = 6     /* the GPU reported failure */
} bp_status;

#define BP_ALIGNMENT   64u
#define BP_MAX_THREADS 64

/* A loaded network. Private but for weights_status. */
typedef struct bp_network {
    unsigned char *weights, *arena;
    int weights_status; /* bpz_status of the last bp_load, see bpz.h */
} bp_network;

/* Reads a clock in nanoseconds, from any origin. */
typedef uint64_t (*bp_clock)(void);

/* One fixed English sentence for each status; never NULL. */
const char *bp_status_text(bp_status status);

/* Bytes of workspace that the linked network needs, and the part of them that each fork needs anew. */
size_t bp_workspace_size(void);
size_t bp_arena_size(void);

/* Floats of one input and of one output, both in C order. */
size_t bp_input_size(void);
size_t bp_output_size(void);

/* Decode the weights into `workspace` (aligned to BP_ALIGNMENT) and make the network ready. On failure `network`
 * must not be run. */
bp_status bp_load(bp_network *network, const void *bpz, size_t bpz_size, void *workspace, size_t workspace_size);

/* Make `fork` a network on the weights of `network`, which has to stay, with an arena of its own (aligned to
 * BP_ALIGNMENT, bp_arena_size() bytes). Both may then run at once. */
bp_status bp_fork(bp_network *fork, const bp_network *network, void *arena, size_t arena_size);

/* Compute the output of one input. On failure `output` is unspecified. */
bp_status bp_run(const bp_network *network, const float *input, float *output);

/* The same, noting what each kernel took: `nanoseconds` has bp_kernel_count() places. */
bp_status bp_run_timed(const bp_network *network, const float *input, float *output, bp_clock clock,
                       uint64_t *nanoseconds);

/* `count` inputs on `threads` networks at once: a loaded one and forks of it. Outputs lie in the order of the inputs. The
 * only function that needs pthreads; it makes its threads anew in each call, so give it many inputs. */
bp_status bp_run_batch(const bp_network *networks, size_t threads, const float *inputs, size_t count, float *outputs);

/* The kernels in the order in which they run, and their names. NULL for an index out of range. */
size_t bp_kernel_count(void);
const char *bp_kernel_name(size_t index);

#ifdef __cplusplus
}
#endif

#endif /* BAYESPRESS_H */
