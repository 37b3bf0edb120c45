/* bayespress_gpu.h - run the linked network on a GPU through OpenCL. C99, with malloc, dlopen and, for the cache, files.
 *
 * The system's OpenCL library is looked for at run time, so a program that links this also runs where there is none:
 * bp_gpu_open then says so, and bayespress.h has the same network for the CPU. Threads: one call at a time for each
 * bp_gpu.
 */
#ifndef BAYESPRESS_GPU_H
#define BAYESPRESS_GPU_H

#include "bayespress.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A device with the network's kernels compiled for it. */
typedef struct bp_gpu bp_gpu;

/* Whether there is an OpenCL device, and compile for the first one (a GPU, or else any). NULL where there is none or it
 * refuses the kernels; `reason` then holds one sentence. `cache`, NULL for none, is a file to keep the compiled kernels
 * in: compiling takes a phone up to seconds. */
bp_gpu *bp_gpu_open(const char *cache, char *reason, size_t reason_size);
void bp_gpu_close(bp_gpu *gpu);

/* The device's own name. "float16" or "float32", which the network was built in and the device can do; sums are float32
 * either way. Whether the kernels came from the cache. */
const char *bp_gpu_name(const bp_gpu *gpu);
const char *bp_gpu_precision(const bp_gpu *gpu);
int bp_gpu_from_cache(const bp_gpu *gpu);

/* Decode the weights and bring them to the device; before the first run. */
bp_status bp_gpu_load(bp_gpu *gpu, const void *bpz, size_t bpz_size);

/* Compute the output of one input; sizes as bp_input_size and bp_output_size say. */
bp_status bp_gpu_run(bp_gpu *gpu, const float *input, float *output);

/* The same, noting what each kernel took on the device: `nanoseconds` has bp_gpu_kernel_count(gpu) places. */
bp_status bp_gpu_run_timed(bp_gpu *gpu, const float *input, float *output, uint64_t *nanoseconds);
size_t bp_gpu_kernel_count(const bp_gpu *gpu);
const char *bp_gpu_kernel_name(const bp_gpu *gpu, size_t index);

#ifdef __cplusplus
}
#endif

#endif /* BAYESPRESS_GPU_H */
