/* sink.c - levels into values, and values into their places. */
#include "sink.h"

bpz_status bpz_sink_value(const bpz_value_map *map, int32_t level, float *value) {
    if (map->kind == BPZ_KIND_CODEBOOK) {
        if (level < 0 || (uint32_t)level >= map->codebook_count) return BPZ_ERROR_CORRUPT;
        *value = level == 0 ? 0.0f : bpz_float_at(map->codebook + 4u * ((size_t)level - 1u));
        return BPZ_OK;
    }
    *value = (float)level * map->step;
    return bpz_is_finite(*value) ? BPZ_OK : BPZ_ERROR_CORRUPT;
}

bpz_status bpz_sink_put(bpz_sink *sink, uint64_t row, uint64_t column, uint64_t columns, int32_t level) {
    float value;
    const bpz_status status = bpz_sink_value(sink->map, level, &value);
    if (status != BPZ_OK) return status;
    if (sink->floats != NULL) {
        sink->floats[row * columns + column] = value;
    } else if (sink->levels != NULL) {
        sink->levels[row * columns + column] = level;
    } else if (level != 0) {
        if (sink->entries == sink->room) return BPZ_ERROR_CORRUPT; /* more non-zeros than the record says */
        while (sink->row < row) sink->row_pointer[++sink->row] = (uint32_t)sink->entries;
        sink->columns[sink->entries] = (uint32_t)column;
        sink->values[sink->entries++] = value;
    }
    return BPZ_OK;
}

void bpz_sink_end(bpz_sink *sink, uint64_t rows) {
    if (sink->values == NULL) return;
    while (sink->row < rows) sink->row_pointer[++sink->row] = (uint32_t)sink->entries;
}
