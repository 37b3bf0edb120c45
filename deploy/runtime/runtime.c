/* runtime.c - loads weights into the memory plan, and runs the kernels over it (bayespress.h).
 *
 * Everything lies in the caller's workspace:
 *
 *     weights | arena | scratch | tensors | values
 *
 *     weights   decoded once, then read only; forks share it
 *     arena     activations; the plan of the compiler lets those overlap that are not in use at the same time
 *     scratch   what a kernel asks for while it runs (scratch.c); during loading, the workspace of the decoder
 *     tensors   a DLTensor for each argument of each kernel
 *     values    the same as TVM's arguments: pointers to these tensors
 *
 * Shapes and addresses do not change between runs, so the arguments are prepared once. A run copies the input, calls
 * the kernels in order, and copies the output. A fork has all but the weights of its own.
 *
 * Each part is rounded up to BP_ALIGNMENT, and sums of sizes cannot wrap around: they are those of a plan that was
 * built, and the caller has allocated them.
 */
#include <string.h>

#include "bayespress.h"
#include "bpz.h"
#include "model.h"
#include "scratch.h"
#include "weights.h"

static const bpi_model *const model = &bpi_linked_model;

static size_t aligned(size_t size) { return (size + BP_ALIGNMENT - 1) / BP_ALIGNMENT * BP_ALIGNMENT; }

/* ---- where the parts lie ---- */

static size_t scratch_size(void) {
    const size_t decoder = bpz_workspace_size();
    return aligned(model->scratch_size > decoder ? model->scratch_size : decoder);
}

static unsigned char *scratch_of(const bp_network *network) { return network->arena + aligned(model->arena_size); }

static bpi_dl_tensor *tensors_of(const bp_network *network) {
    return (bpi_dl_tensor *)(void *)(scratch_of(network) + scratch_size());
}

static bpi_any *values_of(const bp_network *network) {
    return (bpi_any *)(void *)((unsigned char *)tensors_of(network) +
                               aligned(model->view_count * sizeof(bpi_dl_tensor)));
}

size_t bp_arena_size(void) {
    return aligned(model->arena_size) + scratch_size() + aligned(model->view_count * sizeof(bpi_dl_tensor)) +
           aligned(model->view_count * sizeof(bpi_any));
}

size_t bp_workspace_size(void) { return aligned(model->weights_size) + bp_arena_size(); }

/* ---- loading ---- */

/* Decode one weight. `*decode_status` receives the status of the decoder. */
static bp_status load_weight(bp_network *network, const bpz_file *file, const bpi_parameter *parameter,
                             bpz_status *decode_status) {
    bpz_tensor tensor;
    const bp_status status = bpi_find_weight(file, parameter, &tensor, decode_status);
    if (status != BP_OK) {
        return status;
    }
    if (parameter->sparse != NULL) {
        const bpi_sparse *sparse = parameter->sparse;
        unsigned char *weights = network->weights;
        bpi_rows into;
        into.values = weights + parameter->offset;
        into.input_offsets = weights + sparse->input_offsets_offset;
        into.rows = (uint32_t *)(void *)(weights + sparse->rows_offset);
        into.value_table = (float *)(void *)(weights + sparse->value_table_offset);
        into.columns =
            (uint32_t *)(void *)network->arena; /* which holds nothing yet, and has room: see deploy/compile */
        return bpi_decode_rows(file, &tensor, parameter, &into, scratch_of(network), scratch_size(), decode_status);
    }
    *decode_status = bpz_decode(file, &tensor, BPZ_FLOAT32, network->weights + parameter->offset, (size_t)tensor.count,
                                scratch_of(network), scratch_size());
    return *decode_status == BPZ_OK ? BP_OK : BP_ERROR_WEIGHTS;
}

static bp_status load_weights(bp_network *network, const void *bpz, size_t bpz_size) {
    bpz_file file;
    size_t i;
    bpz_status decode_status = bpz_open(&file, bpz, bpz_size);
    bp_status status = decode_status == BPZ_OK ? BP_OK : BP_ERROR_WEIGHTS;
    for (i = 0; status == BP_OK && i < model->parameter_count; i++) {
        status = load_weight(network, &file, &model->parameters[i], &decode_status);
    }
    network->weights_status = (int)decode_status;
    if (status != BP_OK) {
        return status;
    }
    /* All parameters were found, and their names differ: so equal counts mean that the file has no other tensors. */
    return file.tensor_count == model->parameter_count ? BP_OK : BP_ERROR_MISMATCH;
}

/* Fill the tensors and values of all kernels. */
static void prepare_arguments(const bp_network *network) {
    bpi_dl_tensor *tensors = tensors_of(network);
    bpi_any *values = values_of(network);
    size_t i;
    for (i = 0; i < model->view_count; i++) {
        const bpi_view *view = &model->views[i];
        bpi_dl_tensor *tensor = &tensors[i];
        memset(tensor, 0, sizeof *tensor);
        tensor->data = (view->in_arena ? network->arena : network->weights) + view->offset;
        tensor->device.type = BP_DEVICE_CPU;
        tensor->ndim = view->rank;
        tensor->dtype.code = view->type_code;
        tensor->dtype.bits = view->type_bits;
        tensor->dtype.lanes = 1;
        tensor->shape = (int64_t *)(uintptr_t)view->shape; /* TVM's ABI is not const-correct; kernels only read */
        values[i].type_index = BP_TYPE_DL_TENSOR;
        values[i].zero_padding = 0;
        values[i].value.pointer = tensor;
    }
}

/* Call a kernel, with all of the scratch memory. */
static bp_status call_kernel(const bp_network *network, const bpi_kernel *kernel) {
    bpi_any result;
    bpi_scratch scratch;
    memset(&result, 0, sizeof result);
    scratch.next = scratch_of(network);
    scratch.left = scratch_size();
    bpi_scratch_use(&scratch);
    return kernel->function(NULL, values_of(network) + kernel->first_view, (int32_t)kernel->view_count, &result) == 0
               ? BP_OK
               : BP_ERROR_KERNEL;
}

bp_status bp_load(bp_network *network, const void *bpz, size_t bpz_size, void *workspace, size_t workspace_size) {
    bp_status status;
    size_t i;
    if (network == NULL || bpz == NULL || workspace == NULL) {
        return BP_ERROR_ARGUMENT;
    }
    network->weights_status = BPZ_OK;
    if (workspace_size < bp_workspace_size() || (uintptr_t)workspace % BP_ALIGNMENT != 0) {
        return BP_ERROR_WORKSPACE;
    }
    network->weights = workspace;
    network->arena = network->weights + aligned(model->weights_size);
    status = load_weights(network, bpz, bpz_size);
    if (status != BP_OK) {
        return status;
    }
    for (i = 0; i < model->constant_count; i++) {
        memcpy(network->weights + model->constants[i].offset, model->constants[i].data, model->constants[i].size);
    }
    prepare_arguments(network);
    for (i = 0; status == BP_OK && i < model->once_count; i++) {
        status = call_kernel(network, &model->kernels[i]);
    }
    return status;
}

bp_status bp_fork(bp_network *fork, const bp_network *network, void *arena, size_t arena_size) {
    if (fork == NULL || network == NULL || arena == NULL) {
        return BP_ERROR_ARGUMENT;
    }
    if (arena_size < bp_arena_size() || (uintptr_t)arena % BP_ALIGNMENT != 0) {
        return BP_ERROR_WORKSPACE;
    }
    fork->weights = network->weights;
    fork->arena = arena;
    fork->weights_status = network->weights_status;
    prepare_arguments(fork);
    return BP_OK;
}

/* ---- running ---- */

bp_status bp_run_timed(const bp_network *network, const float *input, float *output, bp_clock clock,
                       uint64_t *nanoseconds) {
    uint64_t before;
    size_t i;
    if (network == NULL || input == NULL || output == NULL || (clock != NULL && nanoseconds == NULL)) {
        return BP_ERROR_ARGUMENT;
    }
    memcpy(network->arena + model->input_offset, input, model->input_size * sizeof(float));
    before = clock != NULL ? clock() : 0;
    for (i = 0; i < bp_kernel_count(); i++) {
        const bp_status status = call_kernel(network, &model->kernels[model->once_count + i]);
        if (status != BP_OK) {
            return status;
        }
        if (clock != NULL) {
            const uint64_t now = clock();
            nanoseconds[i] = now - before;
            before = now;
        }
    }
    memcpy(output, network->arena + model->output_offset, model->output_size * sizeof(float));
    return BP_OK;
}

bp_status bp_run(const bp_network *network, const float *input, float *output) {
    return bp_run_timed(network, input, output, NULL, NULL);
}

/* ---- asking ---- */

size_t bp_input_size(void) { return model->input_size; }

size_t bp_output_size(void) { return model->output_size; }

size_t bp_kernel_count(void) { return model->kernel_count - model->once_count; }

const char *bp_kernel_name(size_t index) {
    return index < bp_kernel_count() ? model->kernels[model->once_count + index].name : NULL;
}

const char *bp_status_text(bp_status status) {
    switch (status) {
    case BP_OK:
        return "no error";
    case BP_ERROR_WEIGHTS:
        return "the .bpz file cannot be decoded";
    case BP_ERROR_MISMATCH:
        return "the .bpz file is not of this network: a tensor is missing, surplus, of another shape or less sparse";
    case BP_ERROR_WORKSPACE:
        return "the workspace is too small or not aligned to 64 bytes";
    case BP_ERROR_ARGUMENT:
        return "an argument is NULL or out of range";
    case BP_ERROR_KERNEL:
        return "a kernel reported failure";
    case BP_ERROR_DEVICE:
        return "the GPU reported failure";
    }
    return "an unknown status";
}
