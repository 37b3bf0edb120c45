/* network_library.h - a bundle's libnetwork.so, loaded at run time, so that one app can run every network. */
#ifndef NETWORK_LIBRARY_H
#define NETWORK_LIBRARY_H

#include "bayespress.h"
#include "bayespress_gpu.h"

/* The functions of bayespress.h, and those of bayespress_gpu.h, which only libraries with OpenCL have. */
/* clang-format off */
#define NETWORK_FUNCTIONS(F) \
    F(bp_status_text) F(bp_workspace_size) F(bp_arena_size) F(bp_input_size) F(bp_output_size) F(bp_load) F(bp_fork) \
    F(bp_run) F(bp_run_timed) F(bp_run_batch) F(bp_kernel_count) F(bp_kernel_name)
#define GPU_FUNCTIONS(F) \
    F(bp_gpu_open) F(bp_gpu_close) F(bp_gpu_name) F(bp_gpu_precision) F(bp_gpu_load) F(bp_gpu_run) \
    F(bp_gpu_run_timed) F(bp_gpu_kernel_count) F(bp_gpu_kernel_name)
/* clang-format on */

typedef struct network_library {
    void *handle;
    int has_gpu;
#define NETWORK_POINTER(name) __typeof__(name) *name;
    NETWORK_FUNCTIONS(NETWORK_POINTER) GPU_FUNCTIONS(NETWORK_POINTER)
#undef NETWORK_POINTER
} network_library;

/* Loads the library at `path`. Returns 1, or 0 with a message in `reason` if the system cannot load it or it lacks the
 * functions of a network. */
int network_library_open(network_library *library, const char *path, char *reason, size_t reason_size);
void network_library_close(network_library *library);

#endif /* NETWORK_LIBRARY_H */
