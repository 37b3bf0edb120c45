/* gpu.h - private: an opened OpenCL device with the kernels of the network. All handles are NULL until they are made,
 * so that bp_gpu_close can release a device that was opened in part.
 */
#ifndef BAYESPRESS_GPU_PRIVATE_H
#define BAYESPRESS_GPU_PRIVATE_H

#include "bayespress_gpu.h"
#include "model_gpu.h"
#include "opencl.h"

struct bp_gpu {
    const bpi_gpu_model *model; /* the linked network that this device runs */
    bpi_opencl cl;
    bpi_cl device, context, queue, program, weights, arena;
    bpi_cl *kernels; /* one for each launch */
    bpi_cl *views;   /* one for each view */
    char name[128];
    int from_cache;
};

#endif /* BAYESPRESS_GPU_PRIVATE_H */
