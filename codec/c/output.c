/* output.c - turns levels into elements, and puts them in their places. */
#include "output.h"

#define BPZ_HALF_INFINITY 0x7C00u

bpz_status bpzi_output_float(bpz_element element, uint32_t *word) {
    if (element == BPZ_FLOAT32) return BPZ_OK;
    *word = bpzi_half_of_word(*word);
    return (*word & BPZ_HALF_INFINITY) == BPZ_HALF_INFINITY ? BPZ_ERROR_UNSUPPORTED : BPZ_OK;
}

bpz_status bpzi_output_level(const bpz_value_map *map, bpz_element element, int32_t level, uint32_t *word) {
    /* The value is computed even when the level is asked for: a level without a value is an error for every type of
     * element. */
    const bpz_status status = bpzi_value_of(map, level, word);
    if (status != BPZ_OK) return status;
    if (element == BPZ_FLOAT32 || element == BPZ_FLOAT16) return bpzi_output_float(element, word);
    *word = (uint32_t)level;
    return element == BPZ_INT8 && (level < INT8_MIN || level > INT8_MAX) ? BPZ_ERROR_UNSUPPORTED : BPZ_OK;
}

bpz_status bpzi_output_put(bpzi_output *output, uint64_t row, uint64_t column, uint64_t columns, int32_t level) {
    uint32_t word;
    const unsigned size = bpzi_element_size(output->element);
    const bpz_status status = bpzi_output_level(output->map, output->element, level, &word);
    if (status != BPZ_OK) return status;
    if (output->columns == NULL) {
        bpzi_store(output->out, size, row * columns + column, word);
    } else if (level != 0) {
        if (output->entries == output->capacity)
            return BPZ_ERROR_CORRUPT; /* more non-zeros than the directory entry says */
        while (output->row < row) output->row_pointer[++output->row] = (uint32_t)output->entries;
        output->columns[output->entries] = (uint32_t)column;
        bpzi_store(output->out, size, output->entries++, word);
    }
    return BPZ_OK;
}

void bpzi_output_end(bpzi_output *output, uint64_t rows) {
    if (output->columns == NULL) return;
    while (output->row < rows) output->row_pointer[++output->row] = (uint32_t)output->entries;
}
