/* gpu.h - private: an opened OpenCL device with the network's kernels. */
#ifndef BAYESPRESS_GPU_PRIVATE_H
#define BAYESPRESS_GPU_PRIVATE_H

#include "bayespress_gpu.h"
#include "model_gpu.h"
#include "opencl.h"

struct bp_gpu {
    const bpi_gpu_model *model; /* the one of the linked ones that runs */
    bpi_opencl cl;
    bpi_cl device, context, queue, program, weights, arena;
    bpi_cl *kernels; /* one a launch */
    bpi_cl *views;   /* one a view */
    char name[128];
    int from_cache;
};

#endif /* BAYESPRESS_GPU_PRIVATE_H */
