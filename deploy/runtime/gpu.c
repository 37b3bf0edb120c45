/* gpu.c - copies the weights to the OpenCL device, and runs the network there (bayespress_gpu.h).
 *
 * Weights are decoded one at a time into memory of the host, of the size of one weight, and copied to their place in
 * the buffer of weights. A run enqueues the input, all launches and the output; OpenCL executes them in order, and only
 * reading the output waits.
 */
#include <stdlib.h>
#include <string.h>

#include "bpz.h"
#include "gpu.h"
#include "weights.h"

/* Enqueue a launch. `event` receives its event, or is NULL. */
static bp_status start(bp_gpu *gpu, size_t launch, bpi_cl *event) {
    const bpi_gpu_launch *each = &gpu->model->launches[launch];
    return gpu->cl.clEnqueueNDRangeKernel(gpu->queue, gpu->kernels[launch], 3, NULL, each->items, each->group, 0, NULL,
                                          event) == CL_SUCCESS_
               ? BP_OK
               : BP_ERROR_DEVICE;
}

/* Copy `size` bytes into the buffer of weights, and wait; 0 when it fails. */
static int write_weights(bp_gpu *gpu, size_t offset, size_t size, const void *data) {
    return size == 0 || gpu->cl.clEnqueueWriteBuffer(gpu->queue, gpu->weights, CL_TRUE_, offset, size, data, 0, NULL,
                                                     NULL) == CL_SUCCESS_;
}

/* Decode a dense weight to `values`, which has room for it, and copy it to the device. */
static bp_status load_dense(bp_gpu *gpu, const bpz_file *file, const bpz_tensor *tensor, const bpi_parameter *parameter,
                            float *values, void *workspace) {
    const size_t count = (size_t)tensor->count;
    if (bpz_decode(file, tensor, BPZ_FLOAT32, values, count, workspace, bpz_workspace_size()) != BPZ_OK) {
        return BP_ERROR_WEIGHTS;
    }
    return write_weights(gpu, parameter->offset, count * sizeof(float), values) ? BP_OK : BP_ERROR_DEVICE;
}

/* The same for a sparse weight. `memory` has room for all of its arrays, with four bytes for each element. */
static bp_status load_rows(bp_gpu *gpu, const bpz_file *file, const bpz_tensor *tensor, const bpi_parameter *parameter,
                           uint32_t *memory, void *workspace) {
    const bpi_sparse *sparse = parameter->sparse;
    bpz_status decode_status;
    bp_status status;
    bpi_rows into;
    into.values = memory;
    into.input_offsets = memory + sparse->entries;
    into.columns = memory + 2 * (size_t)sparse->entries;
    into.rows = memory + 3 * (size_t)sparse->entries;
    into.value_table = (float *)(void *)(into.rows + parameter->shape[0] + 1);
    status = bpi_decode_rows(file, tensor, parameter, &into, workspace, bpz_workspace_size(), &decode_status);
    if (status == BP_OK) {
        const size_t value_size = sparse->stored == BP_VALUES ? sizeof(float) : 1;
        const size_t entries = into.rows[parameter->shape[0]];
        if (!write_weights(gpu, parameter->offset, entries * value_size, into.values) ||
            !write_weights(gpu, sparse->input_offsets_offset, entries * sparse->offset_size, into.input_offsets) ||
            !write_weights(gpu, sparse->rows_offset, (parameter->shape[0] + (size_t)1) * sizeof(uint32_t), into.rows) ||
            !write_weights(gpu, sparse->value_table_offset, bpi_value_table_size(sparse) * sizeof(float),
                           into.value_table)) {
            return BP_ERROR_DEVICE;
        }
    }
    return status;
}

/* Find, decode and copy one weight. */
static bp_status load_parameter(bp_gpu *gpu, const bpz_file *file, const bpi_parameter *parameter, void *workspace) {
    bpz_tensor tensor;
    bpz_status decode_status;
    size_t elements;
    void *memory;
    bp_status status = bpi_find_weight(file, parameter, &tensor, &decode_status);
    if (status != BP_OK) {
        return status;
    }
    elements = parameter->sparse == NULL ? (size_t)tensor.count
                                         : 3 * (size_t)parameter->sparse->entries + parameter->shape[0] + 1 +
                                               bpi_value_table_size(parameter->sparse);
    memory = malloc((elements + 1) * 4);
    if (memory == NULL) {
        return BP_ERROR_WORKSPACE;
    }
    status = parameter->sparse == NULL ? load_dense(gpu, file, &tensor, parameter, memory, workspace)
                                       : load_rows(gpu, file, &tensor, parameter, memory, workspace);
    free(memory);
    return status;
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
    if (file.tensor_count != gpu->model->parameter_count) {
        return BP_ERROR_MISMATCH;
    }
    workspace = malloc(bpz_workspace_size());
    if (workspace == NULL) {
        return BP_ERROR_WORKSPACE;
    }
    for (i = 0; status == BP_OK && i < gpu->model->parameter_count; i++) {
        status = load_parameter(gpu, &file, &gpu->model->parameters[i], workspace);
    }
    free(workspace);
    for (i = 0; status == BP_OK && i < gpu->model->constant_count; i++) {
        const bpi_constant *constant = &gpu->model->constants[i];
        status = write_weights(gpu, constant->offset, constant->size, constant->data) ? BP_OK : BP_ERROR_DEVICE;
    }
    for (i = 0; status == BP_OK && i < gpu->model->once_count; i++) {
        status = start(gpu, i, NULL);
    }
    return status == BP_OK && gpu->cl.clFinish(gpu->queue) != CL_SUCCESS_ ? BP_ERROR_DEVICE : status;
}

/* Nanoseconds between begin and end of a launch, by the clock of the device. */
static uint64_t taken(const bp_gpu *gpu, bpi_cl event) {
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
    if (gpu->cl.clEnqueueWriteBuffer(gpu->queue, gpu->arena, CL_FALSE_, gpu->model->input_offset,
                                     bp_input_size() * sizeof(float), input, 0, NULL, NULL) != CL_SUCCESS_) {
        return BP_ERROR_DEVICE;
    }
    for (i = 0; status == BP_OK && i < bp_gpu_kernel_count(gpu); i++) {
        bpi_cl event = NULL;
        status = start(gpu, gpu->model->once_count + i, nanoseconds != NULL ? &event : NULL);
        if (status == BP_OK && nanoseconds != NULL) {
            status = gpu->cl.clFinish(gpu->queue) == CL_SUCCESS_ ? BP_OK : BP_ERROR_DEVICE;
            nanoseconds[i] = taken(gpu, event);
            gpu->cl.clReleaseEvent(event);
        }
    }
    if (status == BP_OK &&
        gpu->cl.clEnqueueReadBuffer(gpu->queue, gpu->arena, CL_TRUE_, gpu->model->output_offset,
                                    bp_output_size() * sizeof(float), output, 0, NULL, NULL) != CL_SUCCESS_) {
        return BP_ERROR_DEVICE;
    }
    return status;
}

bp_status bp_gpu_run(bp_gpu *gpu, const float *input, float *output) {
    return bp_gpu_run_timed(gpu, input, output, NULL);
}

size_t bp_gpu_kernel_count(const bp_gpu *gpu) { return gpu->model->launch_count - gpu->model->once_count; }

const char *bp_gpu_kernel_name(const bp_gpu *gpu, size_t index) {
    return index < bp_gpu_kernel_count(gpu) ? gpu->model->launches[gpu->model->once_count + index].name : NULL;
}
