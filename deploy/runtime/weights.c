/* weights.c - finds the weights of a network in a .bpz, and lays sparse ones out as kernels need them.
 *
 * The .bpz is untrusted, and the kernels trust their arrays. So what kernels rely on is checked here: name and shape of
 * each tensor, the number of rows, and the number of entries. Columns come from the decoder, which keeps them below the
 * columns of the matrix; the input offsets computed from them therefore lie within the input.
 */
#include "weights.h"

#include <string.h>

#include "bpz_levels.h"

bp_status bpi_find_weight(const bpz_file *file, const bpi_parameter *parameter, bpz_tensor *tensor,
                          bpz_status *decode_status) {
    uint32_t axis;
    *decode_status = bpz_find(file, parameter->name, strlen(parameter->name), tensor);
    if (*decode_status != BPZ_OK) {
        return *decode_status == BPZ_ERROR_ARGUMENT ? BP_ERROR_MISMATCH : BP_ERROR_WEIGHTS;
    }
    for (axis = 0; parameter->rank == tensor->rank && axis < tensor->rank; axis++) {
        if (parameter->shape[axis] != tensor->shape[axis]) {
            return BP_ERROR_MISMATCH;
        }
    }
    return parameter->rank == tensor->rank ? BP_OK : BP_ERROR_MISMATCH;
}

/* The input offset of each entry, from its column; see bpi_sparse. */
static void find_input_offsets(const bpi_sparse *sparse, const uint32_t *columns, void *input_offsets, uint32_t count) {
    uint32_t i;
    for (i = 0; i < count; i++) {
        const uint32_t offset =
            columns[i] / sparse->inner * sparse->channel_stride + sparse->table[columns[i] % sparse->inner];
        if (sparse->offset_size == 2) {
            ((uint16_t *)input_offsets)[i] = (uint16_t)offset;
        } else {
            ((int32_t *)input_offsets)[i] = (int32_t)offset;
        }
    }
}

/* Fill the value table. BPZ_ERROR_ARGUMENT when a grid is wanted and the tensor has another value map. */
static bpz_status find_value_table(const bpz_file *file, const bpz_tensor *tensor, const bpi_sparse *sparse,
                                   float *value_table, void *workspace, size_t workspace_size) {
    bpz_value_map map;
    bpz_status status;
    int32_t level;
    value_table[0] = 1.0f;
    if (sparse->stored == BP_VALUES) {
        return BPZ_OK;
    }
    status = bpz_value_map_of(file, tensor, &map, workspace, workspace_size);
    if (status != BPZ_OK) {
        return status;
    }
    if (sparse->stored == BP_GRID_LEVELS) {
        value_table[0] = map.step;
        return map.kind == BPZ_KIND_GRID ? BPZ_OK : BPZ_ERROR_ARGUMENT;
    }
    for (level = INT8_MIN; level <= INT8_MAX; level++) {
        float *value = &value_table[(uint8_t)level];
        if (bpz_level_value(&map, level, value) != BPZ_OK) {
            *value = 0.0f; /* a level without a value; no entry has it, or decoding would have failed */
        }
    }
    return BPZ_OK;
}

bp_status bpi_decode_rows(const bpz_file *file, const bpz_tensor *tensor, const bpi_parameter *parameter,
                          const bpi_rows *into, void *workspace, size_t workspace_size, bpz_status *decode_status) {
    const bpi_sparse *sparse = parameter->sparse;
    const bpz_element element = sparse->stored == BP_VALUES ? BPZ_FLOAT32 : BPZ_INT8;
    *decode_status = BPZ_OK;
    if (tensor->rows != parameter->shape[0] || tensor->nonzero > sparse->entries) {
        return BP_ERROR_MISMATCH;
    }
    *decode_status = bpz_decode_csr(file, tensor, element, into->rows, into->columns, into->values, sparse->entries,
                                    workspace, workspace_size);
    if (*decode_status == BPZ_OK) {
        find_input_offsets(sparse, into->columns, into->input_offsets, into->rows[tensor->rows]);
        *decode_status = find_value_table(file, tensor, sparse, into->value_table, workspace, workspace_size);
    }
    if (*decode_status == BPZ_ERROR_ARGUMENT || *decode_status == BPZ_ERROR_UNSUPPORTED) {
        return BP_ERROR_MISMATCH;
    }
    return *decode_status == BPZ_OK ? BP_OK : BP_ERROR_WEIGHTS;
}
