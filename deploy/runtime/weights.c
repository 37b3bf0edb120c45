/* weights.c - finds a network's weights in the .bpz, and lays sparse ones out as kernels want them. */
#include "weights.h"

#include <string.h>

#include "bpz_levels.h"

bp_status bpi_find_weight(const bpz_file *file, const bpi_parameter *parameter, bpz_tensor *tensor, bpz_status *why) {
    uint32_t axis;
    *why = bpz_find(file, parameter->name, strlen(parameter->name), tensor);
    if (*why != BPZ_OK) {
        return *why == BPZ_ERROR_ARGUMENT ? BP_ERROR_MISMATCH : BP_ERROR_WEIGHTS;
    }
    for (axis = 0; parameter->rank == tensor->rank && axis < tensor->rank; axis++) {
        if (parameter->shape[axis] != tensor->shape[axis]) {
            return BP_ERROR_MISMATCH;
        }
    }
    return parameter->rank == tensor->rank ? BP_OK : BP_ERROR_MISMATCH;
}

static void find_input_offsets(const bpi_sparse *sparse, const uint32_t *columns, void *places, uint32_t count) {
    uint32_t i;
    for (i = 0; i < count; i++) {
        const uint32_t place =
            columns[i] / sparse->inner * sparse->channel_stride + sparse->table[columns[i] % sparse->inner];
        if (sparse->place_size == 2) {
            ((uint16_t *)places)[i] = (uint16_t)place;
        } else {
            ((int32_t *)places)[i] = (int32_t)place;
        }
    }
}

/* What the levels mean. BPZ_ERROR_ARGUMENT where a grid is wanted and there is none. */
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
            *value = 0.0f; /* no entry has it: decoding would have failed */
        }
    }
    return BPZ_OK;
}

bp_status bpi_decode_rows(const bpz_file *file, const bpz_tensor *tensor, const bpi_parameter *parameter,
                          const bpi_rows *into, void *workspace, size_t workspace_size, bpz_status *why) {
    const bpi_sparse *sparse = parameter->sparse;
    const bpz_element element = sparse->stored == BP_VALUES ? BPZ_FLOAT32 : BPZ_INT8;
    *why = BPZ_OK;
    if (tensor->rows != parameter->shape[0] || tensor->nonzero > sparse->entries) {
        return BP_ERROR_MISMATCH;
    }
    *why = bpz_decode_csr(file, tensor, element, into->rows, into->columns, into->values, sparse->entries, workspace,
                          workspace_size);
    if (*why == BPZ_OK) {
        find_input_offsets(sparse, into->columns, into->input_offsets, into->rows[tensor->rows]);
        *why = find_value_table(file, tensor, sparse, into->value_table, workspace, workspace_size);
    }
    if (*why == BPZ_ERROR_ARGUMENT || *why == BPZ_ERROR_UNSUPPORTED) {
        return BP_ERROR_MISMATCH;
    }
    return *why == BPZ_OK ? BP_OK : BP_ERROR_WEIGHTS;
}
