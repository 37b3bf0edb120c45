/* model_gpu.h - private: the tables of a network on a GPU, which the code generator fills: OpenCL source, and launches
 * over two regions of device memory. See model.h for what the two have in common.
 */
#ifndef BAYESPRESS_MODEL_GPU_H
#define BAYESPRESS_MODEL_GPU_H

#include "model.h"

/* An argument of a kernel: `size` bytes of a region, from `offset` on. */
typedef struct bpi_gpu_view {
    size_t offset, size;
    int in_arena;
} bpi_gpu_view;

/* A launch of a kernel over items[0] x items[1] x items[2] work items, in groups of group[...]. */
typedef struct bpi_gpu_launch {
    const char *kernel, *name; /* the function in the source, and what reports call it */
    uint32_t first_view, view_count;
    size_t items[3], group[3];
} bpi_gpu_launch;

/* A network for one type of products. The first once_count launches run when weights are loaded. */
typedef struct bpi_gpu_model {
    const char *extension; /* the OpenCL extension that the kernels need; NULL for none */
    const char *precision; /* of the products: "float32" or "float16" */
    const char *source;
    size_t source_size;
    const bpi_parameter *parameters;
    size_t parameter_count;
    const bpi_constant *constants;
    size_t constant_count;
    const bpi_gpu_view *views;
    size_t view_count;
    const bpi_gpu_launch *launches;
    size_t launch_count, once_count; /* as many of the launches come first and run when the weights are loaded */
    size_t input_offset, output_offset;
    size_t weights_size, arena_size;
} bpi_gpu_model;

/* The network for every type of products that it was built for, the preferred one first. */
extern const bpi_gpu_model *const bpi_linked_gpu_models[];
extern const size_t bpi_linked_gpu_model_count;

#endif /* BAYESPRESS_MODEL_GPU_H */
