/* gpu_open.c - finds an OpenCL device, and compiles the kernels for it or takes them from the cache.
 *
 * Opening goes through a fixed list of steps: library, device, context, queue, kernels, buffers. A step that fails
 * names the problem; bp_gpu_open then closes what was made so far. The kernels are those of the first linked network
 * whose extension the device has and whose source its compiler accepts: a network with float16 products comes first,
 * one with float32 serves all.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gpu.h"
#include "kernel_cache.h"

/* The FNV-1a hash, continued from `hash`. It detects that a cache is of something else; it need not resist forgery, see
 * kernel_cache.c. */
static uint64_t fnv1a(uint64_t hash, const void *data, size_t size) {
    const unsigned char *bytes = data;
    size_t i;
    for (i = 0; i < size; i++) {
        hash = (hash ^ bytes[i]) * 0x100000001b3u;
    }
    return hash;
}

/* A key of everything that a compiled program depends on: source, device, driver. */
static uint64_t cache_key(const bp_gpu *gpu) {
    char driver[128] = {0};
    uint64_t hash = fnv1a(0xcbf29ce484222325u, gpu->model->source, gpu->model->source_size);
    gpu->cl.clGetDeviceInfo(gpu->device, CL_DRIVER_VERSION_, sizeof driver - 1, driver, NULL);
    hash = fnv1a(hash, gpu->name, strlen(gpu->name));
    return fnv1a(hash, driver, strlen(driver));
}

/* Find the first GPU of all platforms, or else the first device; 0 when there is none. */
static int find_device(bp_gpu *gpu) {
    bpi_cl platforms[8];
    bpi_cl_uint count = 0, i;
    const bpi_cl_bits kinds[2] = {CL_DEVICE_TYPE_GPU_, CL_DEVICE_TYPE_ALL_};
    int kind;
    if (gpu->cl.clGetPlatformIDs(8, platforms, &count) != CL_SUCCESS_) {
        return 0;
    }
    for (kind = 0; kind < 2; kind++) {
        for (i = 0; i < count && i < 8; i++) {
            bpi_cl_uint devices = 0;
            if (gpu->cl.clGetDeviceIDs(platforms[i], kinds[kind], 1, &gpu->device, &devices) == CL_SUCCESS_ &&
                devices > 0) {
                gpu->cl.clGetDeviceInfo(gpu->device, CL_DEVICE_NAME_, sizeof gpu->name - 1, gpu->name, NULL);
                return 1;
            }
        }
    }
    return 0;
}

/* Make `program`, from the cache or from source; 0 when the device rejects it. */
static int compile(bp_gpu *gpu, const char *cache) {
    bpi_cl_int error = -1;
    const uint64_t key = cache != NULL ? cache_key(gpu) : 0;
    if (cache != NULL) {
        gpu->program = bpi_cache_read(&gpu->cl, gpu->context, gpu->device, key, cache);
        gpu->from_cache = gpu->program != NULL;
    }
    if (gpu->program == NULL) {
        const char *source = gpu->model->source;
        gpu->program = gpu->cl.clCreateProgramWithSource(gpu->context, 1, &source, &gpu->model->source_size, &error);
        if (error != CL_SUCCESS_) {
            gpu->program = NULL;
            return 0;
        }
        if (gpu->cl.clBuildProgram(gpu->program, 1, &gpu->device, "", NULL, NULL) != CL_SUCCESS_) {
            return 0;
        }
        if (cache != NULL) {
            bpi_cache_write(&gpu->cl, gpu->program, key, cache);
        }
    }
    return 1;
}

/* Whether the device has an extension; NULL stands for none. Names in the list are separated by spaces, and one may
 * begin with another, so a match has to be a whole name. */
static int has_extension(const bp_gpu *gpu, const char *extension) {
    char *list, *found;
    size_t size = 0, length;
    int has = extension == NULL;
    if (has || gpu->cl.clGetDeviceInfo(gpu->device, CL_DEVICE_EXTENSIONS_, 0, NULL, &size) != CL_SUCCESS_) {
        return has;
    }
    list = calloc(size + 1, 1);
    if (list == NULL || gpu->cl.clGetDeviceInfo(gpu->device, CL_DEVICE_EXTENSIONS_, size, list, NULL) != CL_SUCCESS_) {
        free(list);
        return 0;
    }
    length = strlen(extension);
    for (found = list; !has && (found = strstr(found, extension)) != NULL; found += length) {
        has = (found == list || found[-1] == ' ') && (found[length] == ' ' || found[length] == '\0');
    }
    free(list);
    return has;
}

/* Compile the first linked network that the device accepts. */
static int choose_model(bp_gpu *gpu, const char *cache) {
    size_t i;
    for (i = 0; i < bpi_linked_gpu_model_count; i++) {
        gpu->model = bpi_linked_gpu_models[i];
        if (has_extension(gpu, gpu->model->extension) && compile(gpu, cache)) {
            return 1;
        }
        if (gpu->program != NULL) {
            gpu->cl.clReleaseProgram(gpu->program);
            gpu->program = NULL;
        }
    }
    return 0;
}

static int make_arrays(bp_gpu *gpu) {
    gpu->kernels = calloc(gpu->model->launch_count + 1, sizeof(bpi_cl));
    gpu->views = calloc(gpu->model->view_count + 1, sizeof(bpi_cl));
    return gpu->kernels != NULL && gpu->views != NULL;
}

/* Two buffers for the regions, and a sub-buffer for each view: a kernel sees its argument from its beginning. Buffers
 * of no bytes do not exist in OpenCL, so each is a byte longer than needed, or has one. */
static int make_buffers(bp_gpu *gpu) {
    bpi_cl_int weights_error = -1, arena_error = -1;
    size_t i;
    gpu->weights =
        gpu->cl.clCreateBuffer(gpu->context, CL_MEM_READ_WRITE_, gpu->model->weights_size + 1, NULL, &weights_error);
    gpu->arena =
        gpu->cl.clCreateBuffer(gpu->context, CL_MEM_READ_WRITE_, gpu->model->arena_size + 1, NULL, &arena_error);
    if (weights_error != CL_SUCCESS_ || arena_error != CL_SUCCESS_) {
        return 0;
    }
    for (i = 0; i < gpu->model->view_count; i++) {
        const bpi_gpu_view *view = &gpu->model->views[i];
        bpi_cl_region region;
        bpi_cl_int error = -1;
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

/* A kernel object for each launch, with its arguments: they do not change between runs. */
static int make_kernels(bp_gpu *gpu) {
    size_t i;
    uint32_t argument;
    for (i = 0; i < gpu->model->launch_count; i++) {
        const bpi_gpu_launch *launch = &gpu->model->launches[i];
        bpi_cl_int error = -1;
        gpu->kernels[i] = gpu->cl.clCreateKernel(gpu->program, launch->kernel, &error);
        if (error != CL_SUCCESS_) {
            gpu->kernels[i] = NULL;
            return 0;
        }
        for (argument = 0; argument < launch->view_count; argument++) {
            if (gpu->cl.clSetKernelArg(gpu->kernels[i], argument, sizeof(bpi_cl),
                                       &gpu->views[launch->first_view + argument]) != CL_SUCCESS_) {
                return 0;
            }
        }
    }
    return 1;
}

/* All steps. Returns the problem, or NULL. */
static const char *open_device(bp_gpu *gpu, const char *cache) {
    bpi_cl_int error = -1;
    if (!bpi_opencl_find(&gpu->cl)) {
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
    if (!choose_model(gpu, cache)) {
        return "the OpenCL device refuses the kernels";
    }
    if (!make_arrays(gpu)) {
        return "there is no memory";
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
        problem = open_device(gpu, cache);
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
    for (i = 0; gpu->kernels != NULL && i < gpu->model->launch_count; i++) {
        if (gpu->kernels[i] != NULL) {
            gpu->cl.clReleaseKernel(gpu->kernels[i]);
        }
    }
    for (i = 0; gpu->views != NULL && i < gpu->model->view_count; i++) {
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

const char *bp_gpu_name(const bp_gpu *gpu) { return gpu->name; }

const char *bp_gpu_precision(const bp_gpu *gpu) { return gpu->model->precision; }

int bp_gpu_from_cache(const bp_gpu *gpu) { return gpu->from_cache; }
