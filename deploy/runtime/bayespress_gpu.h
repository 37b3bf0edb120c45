/* bayespress_gpu.h - run the linked network on a GPU through OpenCL 1.2. C99, with malloc, dlopen and, for the cache,
 * files.
 *
 *     char reason[200];
 *     bp_gpu *gpu = bp_gpu_open(NULL, reason, sizeof reason);
 *     if (gpu != NULL) {
 *         status = bp_gpu_load(gpu, bpz, bpz_size);
 *         status = bp_gpu_run(gpu, input, output);
 *         bp_gpu_close(gpu);
 *     }
 *
 * The OpenCL library of the system is looked for at run time. So a program that links this also starts where there is
 * none: bp_gpu_open then returns NULL, and bayespress.h has the same network for the processor.
 *
 * Ownership  A bp_gpu owns its device memory and is freed by bp_gpu_close. Strings that it returns live as long as it
 *            does. The bytes of the .bpz are not needed after bp_gpu_load.
 * NULL       bp_gpu_load and the functions that run return BP_ERROR_ARGUMENT for NULL; bp_gpu_close accepts it; the
 *            others must not be given it.
 * Threads    One call at a time for each bp_gpu. Different ones are independent.
 * Failure    After a failure the output is unspecified. After BP_ERROR_DEVICE the device may be lost: close it.
 */
#ifndef BAYESPRESS_GPU_H
#define BAYESPRESS_GPU_H

#include "bayespress.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A device with the kernels of the network compiled for it. */
typedef struct bp_gpu bp_gpu;

/* Open the first GPU of the system, or the first OpenCL device of another type when there is no GPU, and compile the
 * kernels for it. NULL when there is none, or when it cannot take the network; `reason`, `reason_size` bytes, then
 * receives what is wrong as a string, cut to fit.
 *
 * `cache` is the path of a file for the compiled kernels, or NULL: compiling can take seconds on a phone. A file that
 * is missing, damaged, of another device or writable by other users is replaced; that it cannot be written is no
 * failure. */
bp_gpu *bp_gpu_open(const char *cache, char *reason, size_t reason_size);

/* Release the device, its memory and the kernels. */
void bp_gpu_close(bp_gpu *gpu);

/* The name of the device, as its driver gives it. The type of products, "float16" or "float32": the first that the
 * network was built for and the device can compute; sums are float32 in both. Whether the kernels came from the
 * cache. */
const char *bp_gpu_name(const bp_gpu *gpu);
const char *bp_gpu_precision(const bp_gpu *gpu);
int bp_gpu_from_cache(const bp_gpu *gpu);

/* Decode the weights of a .bpz and copy them to the device. To be called before the first run; may be called again with
 * other weights. Errors as of bp_load; BP_ERROR_WORKSPACE when malloc fails, BP_ERROR_DEVICE when the device does. */
bp_status bp_gpu_load(bp_gpu *gpu, const void *bpz, size_t bpz_size);

/* Compute the output of one input, of bp_input_size() and bp_output_size() floats, and wait for it. */
bp_status bp_gpu_run(bp_gpu *gpu, const float *input, float *output);

/* The same, with the time of each kernel on the device by its own clock: `nanoseconds` has bp_gpu_kernel_count(gpu)
 * numbers, or is NULL. Measuring waits for each kernel, so the run as a whole is slower. */
bp_status bp_gpu_run_timed(bp_gpu *gpu, const float *input, float *output, uint64_t *nanoseconds);

/* The number of kernels of one run, and their names in the order in which they run; NULL for an index out of range.
 * They are others than those of the processor. */
size_t bp_gpu_kernel_count(const bp_gpu *gpu);
const char *bp_gpu_kernel_name(const bp_gpu *gpu, size_t index);

#ifdef __cplusplus
}
#endif

#endif /* BAYESPRESS_GPU_H */
