/* sink.c - levels into elements, and elements into their places. */
#include "sink.h"

#define BPZ_HALF_INFINITY 0x7C00u

bpz_status bpz_sink_float(bpz_element element, uint32_t *word) {
    if (element == BPZ_FLOAT32) return BPZ_OK;
    *word = bpz_half_of_word(*word);
    return (*word & BPZ_HALF_INFINITY) == BPZ_HALF_INFINITY ? BPZ_ERROR_UNSUPPORTED : BPZ_OK;
}

bpz_status bpz_sink_level(const bpz_value_map *map, bpz_element element, int32_t level, uint32_t *word) {
    /* The value is asked for even where the level is wanted: a bad one is bad in every form. */
    const bpz_status status = bpz_value_of(map, level, word);
    if (status != BPZ_OK) return status;
    if (element == BPZ_FLOAT32 || element == BPZ_FLOAT16) return bpz_sink_float(element, word);
    *word = (uint32_t)level;
    return element == BPZ_INT8 && (level < INT8_MIN || level > INT8_MAX) ? BPZ_ERROR_UNSUPPORTED : BPZ_OK;
}

bpz_status bpz_sink_put(bpz_sink *sink, uint64_t row, uint64_t column, uint64_t columns, int32_t level) {
    uint32_t word;
    const unsigned size = bpz_element_size(sink->element);
    const bpz_status status = bpz_sink_level(sink->map, sink->element, level, &word);
    if (status != BPZ_OK) return status;
    if (sink->columns == NULL) {
        bpz_store(sink->out, size, row * columns + column, word);
    } else if (level != 0) {
        if (sink->entries == sink->room) return BPZ_ERROR_CORRUPT; /* more non-zeros than the entry says */
        while (sink->row < row) sink->row_pointer[++sink->row] = (uint32_t)sink->entries;
        sink->columns[sink->entries] = (uint32_t)column;
        bpz_store(sink->out, size, sink->entries++, word);
    }
    return BPZ_OK;
}

void bpz_sink_end(bpz_sink *sink, uint64_t rows) {
    if (sink->columns == NULL) return;
    while (sink->row < rows) sink->row_pointer[++sink->row] = (uint32_t)sink->entries;
}
