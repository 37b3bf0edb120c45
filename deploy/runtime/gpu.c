/* gpu.c - the network on an OpenCL device: compiles the kernels, or takes them from the cache, and launches them. */
#include "bayespress_gpu.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bpz.h"
#include "kernel_cache.h"
#include "model_gpu.h"
#include "opencl.h"

static const bp_gpu_model *const model = &bp_linked_gpu_model;

struct bp_gpu {
    bp_opencl cl;
    bp_cl device, context, queue, program, weights, arena;
    bp_cl *kernels; /* one a launch */
    bp_cl *views;   /* one a view */
    char name[128];
    int from_cache;
};

/* ---- opening ---- */

static uint64_t fnv1a(uint64_t hash, const void *data, size_t size) {
    const unsigned char *bytes = data;
    size_t i;
    for (i = 0; i < size; i++) {
        hash = (hash ^ bytes[i]) * 0x100000001b3u;
    }
    return hash;
}

/* Of everything that a binary depends on: source, device, driver. */
static uint64_t cache_key(const bp_gpu *gpu) {
    char driver[128] = {0};
    uint64_t hash = fnv1a(0xcbf29ce484222325u, model->source, model->source_size);
    gpu->cl.clGetDeviceInfo(gpu->device, CL_DRIVER_VERSION_, sizeof driver - 1, driver, NULL);
    hash = fnv1a(hash, gpu->name, strlen(gpu->name));
    return fnv1a(hash, driver, strlen(driver));
}


/* The first GPU of all platforms, or else the first device. */
static int find_device(bp_gpu *gpu) {
    bp_cl platforms[8];
    bp_cl_uint count = 0, i;
    const bp_cl_bits kinds[2] = {CL_DEVICE_TYPE_GPU_, CL_DEVICE_TYPE_ALL_};
    int kind;
    if (gpu->cl.clGetPlatformIDs(8, platforms, &count) != CL_SUCCESS_) {
        return 0;
    }
    for (kind = 0; kind < 2; kind++) {
        for (i = 0; i < count && i < 8; i++) {
            bp_cl_uint devices = 0;
            if (gpu->cl.clGetDeviceIDs(platforms[i], kinds[kind], 1, &gpu->device, &devices) == CL_SUCCESS_ &&
                devices > 0) {
                gpu->cl.clGetDeviceInfo(gpu->device, CL_DEVICE_NAME_, sizeof gpu->name - 1, gpu->name, NULL);
                return 1;
            }
        }
    }
    return 0;
}

static int compile(bp_gpu *gpu, const char *cache) {
    bp_cl_int error = -1;
    const uint64_t key = cache != NULL ? cache_key(gpu) : 0;
    if (cache != NULL) {
        gpu->program = bp_cache_read(&gpu->cl, gpu->context, gpu->device, key, cache);
        gpu->from_cache = gpu->program != NULL;
    }
    if (gpu->program == NULL) {
        const char *source = model->source;
        gpu->program = gpu->cl.clCreateProgramWithSource(gpu->context, 1, &source, &model->source_size, &error);
        if (error != CL_SUCCESS_) {
            gpu->program = NULL;
            return 0;
        }
        if (gpu->cl.clBuildProgram(gpu->program, 1, &gpu->device, "", NULL, NULL) != CL_SUCCESS_) {
            return 0;
        }
        if (cache != NULL) {
            bp_cache_write(&gpu->cl, gpu->program, key, cache);
        }
    }
    return 1;
}

static int make_buffers(bp_gpu *gpu) {
    bp_cl_int weights_error = -1, arena_error = -1;
    size_t i;
    gpu->weights = gpu->cl.clCreateBuffer(gpu->context, CL_MEM_READ_WRITE_, model->weights_size + 1, NULL,
                                          &weights_error);
    gpu->arena = gpu->cl.clCreateBuffer(gpu->context, CL_MEM_READ_WRITE_, model->arena_size + 1, NULL, &arena_error);
    if (weights_error != CL_SUCCESS_ || arena_error != CL_SUCCESS_) {
        return 0;
    }
    for (i = 0; i < model->view_count; i++) {
        const bp_gpu_view *view = &model->views[i];
        bp_cl_region region;
        bp_cl_int error = -1;
        region.origin = view->offset;
        region.size = view->size > 0 ? view->size : 1;
        gpu->views[i] = gpu->cl.clCreateSubBuffer(view->in_arena ? gpu->arena : gpu->weights, CL_MEM_READ_WRITE_,
                                                  CL_BUFFER_CREATE_TYPE_REGION_, &region, &error);
        if (error != CL_SUCCESS_) {
            gpu->views[i] = NULL;
            return 0;
        }
    }
    return 1;
}

static int make_kernels(bp_gpu *gpu) {
    size_t i;
    uint32_t argument;
    for (i = 0; i < model->launch_count; i++) {
        const bp_gpu_launch *launch = &model->launches[i];
        bp_cl_int error = -1;
        gpu->kernels[i] = gpu->cl.clCreateKernel(gpu->program, launch->kernel, &error);
        if (error != CL_SUCCESS_) {
            gpu->kernels[i] = NULL;
            return 0;
        }
        for (argument = 0; argument < launch->view_count; argument++) {
            if (gpu->cl.clSetKernelArg(gpu->kernels[i], argument, sizeof(bp_cl),
                                       &gpu->views[launch->first_view + argument]) != CL_SUCCESS_) {
                return 0;
            }
        }
    }
    return 1;
}

static const char *open_device(bp_gpu *gpu, const char *cache) {
    bp_cl_int error = -1;
    if (!bp_opencl_find(&gpu->cl)) {
        return "there is no OpenCL library";
    }
    if (!find_device(gpu)) {
        return "OpenCL has no device";
    }
    gpu->context = gpu->cl.clCreateContext(NULL, 1, &gpu->device, NULL, NULL, &error);
    if (error != CL_SUCCESS_) {
        gpu->context = NULL;
        return "the OpenCL device cannot be used";
    }
    gpu->queue = gpu->cl.clCreateCommandQueue(gpu->context, gpu->device, CL_QUEUE_PROFILING_ENABLE_, &error);
    if (error != CL_SUCCESS_) {
        gpu->queue = NULL;
        return "the OpenCL device takes no commands";
    }
    if (!compile(gpu, cache)) {
        return "the OpenCL device refuses the kernels";
    }
    if (!make_buffers(gpu)) {
        return "the OpenCL device has not the memory";
    }
    return make_kernels(gpu) ? NULL : "the OpenCL device cannot start the kernels";
}

bp_gpu *bp_gpu_open(const char *cache, char *reason, size_t reason_size) {
    const char *problem = "there is no memory";
    bp_gpu *gpu = calloc(1, sizeof *gpu);
    if (gpu != NULL) {
        gpu->kernels = calloc(model->launch_count + 1, sizeof(bp_cl));
        gpu->views = calloc(model->view_count + 1, sizeof(bp_cl));
        if (gpu->kernels != NULL && gpu->views != NULL) {
            problem = open_device(gpu, cache);
        }
    }
    if (problem != NULL) {
        snprintf(reason, reason_size, "%s", problem);
        bp_gpu_close(gpu);
        return NULL;
    }
    return gpu;
}

void bp_gpu_close(bp_gpu *gpu) {
    size_t i;
    if (gpu == NULL) {
        return;
    }
    for (i = 0; gpu->kernels != NULL && i < model->launch_count; i++) {
        if (gpu->kernels[i] != NULL) {
            gpu->cl.clReleaseKernel(gpu->kernels[i]);
        }
    }
    for (i = 0; gpu->views != NULL && i < model->view_count; i++) {
        if (gpu->views[i] != NULL) {
            gpu->cl.clReleaseMemObject(gpu->views[i]);
        }
    }
    if (gpu->weights != NULL) {
        gpu->cl.clReleaseMemObject(gpu->weights);
    }
    if (gpu->arena != NULL) {
        gpu->cl.clReleaseMemObject(gpu->arena);
    }
    if (gpu->program != NULL) {
        gpu->cl.clReleaseProgram(gpu->program);
    }
    if (gpu->queue != NULL) {
        gpu->cl.clReleaseCommandQueue(gpu->queue);
    }
    if (gpu->context != NULL) {
        gpu->cl.clReleaseContext(gpu->context);
    }
    free(gpu->kernels);
    free(gpu->views);
    free(gpu);
}

const char *bp_gpu_name(const bp_gpu *gpu) {
    return gpu->name;
}

int bp_gpu_from_cache(const bp_gpu *gpu) {
    return gpu->from_cache;
}

/* ---- loading and running ---- */

static bp_status start(bp_gpu *gpu, size_t launch, bp_cl *event) {
    const bp_gpu_launch *each = &model->launches[launch];
    return gpu->cl.clEnqueueNDRangeKernel(gpu->queue, gpu->kernels[launch], 3, NULL, each->items, each->group, 0, NULL,
                                          event) == CL_SUCCESS_
               ? BP_OK
               : BP_ERROR_DEVICE;
}

static int write_weights(bp_gpu *gpu, size_t offset, size_t size, const void *data) {
    return size == 0 || gpu->cl.clEnqueueWriteBuffer(gpu->queue, gpu->weights, CL_TRUE_, offset, size, data, 0, NULL,
                                                     NULL) == CL_SUCCESS_;
}

static int same_shape(const bp_parameter *parameter, const bpz_tensor *tensor) {
    uint32_t axis;
    for (axis = 0; parameter->rank == tensor->rank && axis < tensor->rank; axis++) {
        if (parameter->shape[axis] != tensor->shape[axis]) {
            return 0;
        }
    }
    return parameter->rank == tensor->rank;
}

static bp_status load_parameter(bp_gpu *gpu, const bpz_file *file, const bp_parameter *parameter, void *workspace) {
    bpz_tensor tensor;
    bpz_status status = bpz_find(file, parameter->name, strlen(parameter->name), &tensor);
    bp_status result = BP_ERROR_WEIGHTS;
    float *values;
    if (status == BPZ_ERROR_ARGUMENT || (status == BPZ_OK && !same_shape(parameter, &tensor))) {
        return BP_ERROR_MISMATCH;
    }
    if (status != BPZ_OK) {
        return BP_ERROR_WEIGHTS;
    }
    values = malloc((size_t)tensor.count * sizeof(float) + 1);
    if (values == NULL) {
        return BP_ERROR_WORKSPACE;
    }
    if (bpz_decode(file, &tensor, BPZ_FLOAT32, values, (size_t)tensor.count, workspace, bpz_workspace_size()) ==
        BPZ_OK) {
        result = write_weights(gpu, parameter->offset, (size_t)tensor.count * sizeof(float), values) ? BP_OK
                                                                                                     : BP_ERROR_DEVICE;
    }
    free(values);
    return result;
}

bp_status bp_gpu_load(bp_gpu *gpu, const void *bpz, size_t bpz_size) {
    bpz_file file;
    bp_status status = BP_OK;
    void *workspace;
    size_t i;
    if (gpu == NULL || bpz == NULL) {
        return BP_ERROR_ARGUMENT;
    }
    if (bpz_open(&file, bpz, bpz_size) != BPZ_OK) {
        return BP_ERROR_WEIGHTS;
    }
    if (file.tensor_count != model->parameter_count) {
        return BP_ERROR_MISMATCH;
    }
    workspace = malloc(bpz_workspace_size());
    if (workspace == NULL) {
        return BP_ERROR_WORKSPACE;
    }
    for (i = 0; status == BP_OK && i < model->parameter_count; i++) {
        status = load_parameter(gpu, &file, &model->parameters[i], workspace);
    }
    free(workspace);
    for (i = 0; status == BP_OK && i < model->constant_count; i++) {
        const bp_constant *constant = &model->constants[i];
        status = write_weights(gpu, constant->offset, constant->size, constant->data) ? BP_OK : BP_ERROR_DEVICE;
    }
    for (i = 0; status == BP_OK && i < model->once_count; i++) {
        status = start(gpu, i, NULL);
    }
    return status == BP_OK && gpu->cl.clFinish(gpu->queue) != CL_SUCCESS_ ? BP_ERROR_DEVICE : status;
}

static uint64_t taken(const bp_gpu *gpu, bp_cl event) {
    uint64_t began = 0, ended = 0;
    gpu->cl.clGetEventProfilingInfo(event, CL_PROFILING_COMMAND_START_, sizeof began, &began, NULL);
    gpu->cl.clGetEventProfilingInfo(event, CL_PROFILING_COMMAND_END_, sizeof ended, &ended, NULL);
    return ended > began ? ended - began : 0;
}

bp_status bp_gpu_run_timed(bp_gpu *gpu, const float *input, float *output, uint64_t *nanoseconds) {
    size_t i;
    bp_status status = BP_OK;
    if (gpu == NULL || input == NULL || output == NULL) {
        return BP_ERROR_ARGUMENT;
    }
    if (gpu->cl.clEnqueueWriteBuffer(gpu->queue, gpu->arena, CL_FALSE_, model->input_offset,
                                     bp_input_size() * sizeof(float), input, 0, NULL, NULL) != CL_SUCCESS_) {
        return BP_ERROR_DEVICE;
    }
    for (i = 0; status == BP_OK && i < bp_gpu_kernel_count(); i++) {
        bp_cl event = NULL;
        status = start(gpu, model->once_count + i, nanoseconds != NULL ? &event : NULL);
        if (status == BP_OK && nanoseconds != NULL) {
            status = gpu->cl.clFinish(gpu->queue) == CL_SUCCESS_ ? BP_OK : BP_ERROR_DEVICE;
            nanoseconds[i] = taken(gpu, event);
            gpu->cl.clReleaseEvent(event);
        }
    }
    if (status == BP_OK && gpu->cl.clEnqueueReadBuffer(gpu->queue, gpu->arena, CL_TRUE_, model->output_offset,
                                                       bp_output_size() * sizeof(float), output, 0, NULL,
                                                       NULL) != CL_SUCCESS_) {
        return BP_ERROR_DEVICE;
    }
    return status;
}

bp_status bp_gpu_run(bp_gpu *gpu, const float *input, float *output) {
    return bp_gpu_run_timed(gpu, input, output, NULL);
}

size_t bp_gpu_kernel_count(void) {
    return model->launch_count - model->once_count;
}

const char *bp_gpu_kernel_name(size_t index) {
    return index < bp_gpu_kernel_count() ? model->launches[model->once_count + index].name : NULL;
}
