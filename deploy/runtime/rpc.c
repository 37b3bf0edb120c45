/* rpc.c - the network as functions that TVM's RPC server calls. Not part of the libraries of a bundle: `bench --device
 * rpc://...` links this file with one of them, for the machine of the server, and sends the result there.
 *
 * The server loads one module at a time, so there is one network for each process. Every function returns a bp_status,
 * or a size, as an integer result.
 */
#define _POSIX_C_SOURCE 200112L

#include <stdlib.h>
#include <string.h>

#include "bayespress.h"
#include "bpz.h"
#include "model.h"

#define EXPORTED      __attribute__((visibility("default")))
#define TYPE_INTEGER  1  /* kTVMFFIInt of tvm_ffi/c_api.h */
#define TYPE_TENSOR   70 /* kTVMFFITensor: an object, whose DLTensor follows its header */
#define OBJECT_HEADER 24

static bp_network network;
static int loaded;
static void *workspace;

static const bpi_dl_tensor *tensor_of(const bpi_any *argument) {
    const unsigned char *pointer = argument->value.pointer;
    return (const bpi_dl_tensor *)(const void *)(argument->type_index == TYPE_TENSOR ? pointer + OBJECT_HEADER
                                                                                     : pointer);
}

static void *data_of(const bpi_any *argument) {
    const bpi_dl_tensor *tensor = tensor_of(argument);
    return (unsigned char *)tensor->data + tensor->byte_offset;
}

static size_t count_of(const bpi_any *argument) {
    const bpi_dl_tensor *tensor = tensor_of(argument);
    size_t count = 1;
    int32_t axis;
    for (axis = 0; axis < tensor->ndim; axis++) {
        count *= (size_t)tensor->shape[axis];
    }
    return count;
}

/* Return an integer. */
static int give(bpi_any *result, int64_t number) {
    memset(result, 0, sizeof *result);
    result->type_index = TYPE_INTEGER;
    result->value.integer = number;
    return 0;
}

/* Arguments: the bytes of the .bpz. Load them. */
EXPORTED int __tvm_ffi_bayespress_load(void *self, const bpi_any *arguments, int32_t count, bpi_any *result) {
    bp_status status;
    (void)self;
    if (count != 1) {
        return give(result, BP_ERROR_ARGUMENT);
    }
    if (workspace == NULL && posix_memalign(&workspace, BP_ALIGNMENT, bp_workspace_size()) != 0) {
        return give(result, BP_ERROR_WORKSPACE);
    }
    loaded = 0;
    status = bp_load(&network, data_of(arguments), count_of(arguments), workspace, bp_workspace_size());
    loaded = status == BP_OK;
    return give(result, status);
}

/* Arguments: input, output. Run once. */
EXPORTED int __tvm_ffi_bayespress_run(void *self, const bpi_any *arguments, int32_t count, bpi_any *result) {
    (void)self;
    if (count != 2 || !loaded || count_of(&arguments[0]) != bp_input_size() ||
        count_of(&arguments[1]) != bp_output_size()) {
        return give(result, BP_ERROR_ARGUMENT);
    }
    return give(result, bp_run(&network, data_of(&arguments[0]), data_of(&arguments[1])));
}

/* Arguments: the bytes of the .bpz, the number of a tensor, an array for its values. Decode it, so that the client can
 * compare what this machine decodes. */
EXPORTED int __tvm_ffi_bayespress_decode(void *self, const bpi_any *arguments, int32_t count, bpi_any *result) {
    bpz_file file;
    bpz_tensor tensor;
    bpz_status status;
    void *decoder_workspace = malloc(bpz_workspace_size());
    (void)self;
    if (count != 3 || decoder_workspace == NULL || arguments[1].value.integer < 0 ||
        arguments[1].value.integer > INT32_MAX) {
        free(decoder_workspace);
        return give(result, BP_ERROR_ARGUMENT);
    }
    status = bpz_open(&file, data_of(&arguments[0]), count_of(&arguments[0]));
    if (status == BPZ_OK) {
        status = bpz_tensor_at(&file, (uint32_t)arguments[1].value.integer, &tensor);
    }
    if (status == BPZ_OK) {
        status = bpz_decode(&file, &tensor, BPZ_FLOAT32, data_of(&arguments[2]), count_of(&arguments[2]),
                            decoder_workspace, bpz_workspace_size());
    }
    free(decoder_workspace);
    return give(result, status == BPZ_OK ? BP_OK : BP_ERROR_WEIGHTS);
}

/* No arguments. The bytes of the workspace. */
EXPORTED int __tvm_ffi_bayespress_workspace(void *self, const bpi_any *arguments, int32_t count, bpi_any *result) {
    (void)self, (void)arguments, (void)count;
    return give(result, (int64_t)bp_workspace_size());
}
