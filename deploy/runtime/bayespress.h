/* bayespress.h - run the network that this library was built for, with weights from a .bpz file. C99. The library asks
 * for memcpy, memset, strlen and what the kernels use of libm; it allocates nothing and prints nothing.
 *
 *     void *workspace = aligned_alloc(BP_ALIGNMENT, bp_workspace_size());
 *     bp_network network;
 *     status = bp_load(&network, bpz, bpz_size, workspace, bp_workspace_size());
 *     status = bp_run(&network, input, output);   (bp_input_size() and bp_output_size() floats)
 *
 * One network is linked in, with its kernels and their schedule. Its weights come from the .bpz, so a file of the same
 * network trained further runs without a new build.
 *
 * These rules hold for every function, unless its comment says otherwise.
 *
 * Ownership  The caller owns all memory. A network uses its workspace until the last call with it, or with a fork of
 *            it; there is nothing to close. The bytes of the .bpz are not needed after bp_load. Inputs and outputs are
 *            used during the call only, and may be the same memory.
 * NULL       A pointer that is NULL is BP_ERROR_ARGUMENT.
 * Threads    A network serves one call at a time. bp_fork makes networks that share its weights, one for each thread.
 * Failure    Every function returns BP_OK or what went wrong. After a failure the contents of its outputs are
 *            unspecified; a network may be run again, unless bp_load or bp_fork failed.
 * Trust      The bytes of the .bpz may be hostile: they are rejected, or decoded to what they spell out. The linked
 *            tables and kernels are trusted.
 * Units      Sizes are in bytes, but those of inputs and outputs in floats. Times are in nanoseconds.
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

/* What a function returns. The numbers never change: other programs print and compare them. */
typedef enum bp_status {
    BP_OK = 0,
    BP_ERROR_WEIGHTS = 1,   /* the .bpz cannot be decoded; bp_network.weights_status has the reason */
    BP_ERROR_MISMATCH = 2,  /* a sound .bpz, but not of this network: a tensor missing, surplus or of another shape, or
                               one that was compiled for fewer entries */
    BP_ERROR_WORKSPACE = 3, /* too small, or not aligned to BP_ALIGNMENT */
    BP_ERROR_ARGUMENT = 4,  /* NULL, or a number out of range */
    BP_ERROR_KERNEL = 5,    /* a kernel reported failure */
    BP_ERROR_DEVICE = 6     /* the GPU reported failure */
} bp_status;

#define BP_ALIGNMENT   64u /* bytes: a cache line, and the widest vector that kernels load */
#define BP_MAX_THREADS 64  /* networks that bp_run_batch uses at once */

/* A loaded network. The fields are private, but for weights_status. */
typedef struct bp_network {
    unsigned char *weights, *arena;
    int weights_status; /* the bpz_status of the last bp_load, see bpz.h */
} bp_network;

/* A function that reads a clock in nanoseconds, from any origin; it must not go back. */
typedef uint64_t (*bp_clock)(void);

/* The status in English: a constant string, the same on every call; never NULL, also for a number that is no status. */
const char *bp_status_text(bp_status status);

/* The bytes of workspace that bp_load needs: the decoded weights and an arena. And the bytes of one arena, which every
 * fork needs: activations, and scratch memory of kernels. Both are the same on every call. */
size_t bp_workspace_size(void);
size_t bp_arena_size(void);

/* The number of floats of one input, and of one output. Both are in C order, as the manifest of the bundle describes
 * them. */
size_t bp_input_size(void);
size_t bp_output_size(void);

/* Decode the weights of a .bpz into `workspace`, aligned to BP_ALIGNMENT, and prepare the network. The file must have
 * exactly the tensors of this network. Takes the time of decoding, and of the kernels that depend on weights alone:
 * they run here, once.
 *
 * BP_ERROR_WEIGHTS, BP_ERROR_MISMATCH, BP_ERROR_WORKSPACE, BP_ERROR_KERNEL; after each of them `network` must not be
 * run, and may be loaded again. */
bp_status bp_load(bp_network *network, const void *bpz, size_t bpz_size, void *workspace, size_t workspace_size);

/* Make `fork` a network on the weights of `network`, with an arena of its own: bp_arena_size() bytes, aligned to
 * BP_ALIGNMENT. Both may then run at once. The workspace of `network` must stay. BP_ERROR_WORKSPACE when the arena is
 * too small or misaligned. */
bp_status bp_fork(bp_network *fork, const bp_network *network, void *arena, size_t arena_size);

/* Compute the output of one input. BP_ERROR_KERNEL when a kernel fails. */
bp_status bp_run(const bp_network *network, const float *input, float *output);

/* The same, with the time of each kernel: nanoseconds[i], of bp_kernel_count() numbers, is the time from the end of the
 * kernel before to the end of kernel i by `clock`. `clock` may be NULL: nothing is measured, and `nanoseconds` is not
 * used. */
bp_status bp_run_timed(const bp_network *network, const float *input, float *output, bp_clock clock,
                       uint64_t *nanoseconds);

/* Compute `count` inputs on `threads` networks at once: an array of a loaded network and forks of it, 1 to
 * BP_MAX_THREADS. Inputs lie one after the other, and so do outputs, in the same order. The calling thread works too;
 * when fewer threads can be started, those that run do all the work. Threads are started in each call, so give it many
 * inputs.
 *
 * The only function that needs pthreads: a program that does not call it links without. Returns the status of a failure
 * if any input failed; outputs of the others may have been written. */
bp_status bp_run_batch(const bp_network *networks, size_t threads, const float *inputs, size_t count, float *outputs);

/* The number of kernels that one run calls, and their names in the order in which they run: constant strings, NULL for
 * an index out of range. */
size_t bp_kernel_count(void);
const char *bp_kernel_name(size_t index);

#ifdef __cplusplus
}
#endif

#endif /* BAYESPRESS_H */
