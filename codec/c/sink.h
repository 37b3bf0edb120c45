/* sink.h - private: where decoded levels go: dense float32, dense levels, or compressed sparse rows. */
#ifndef BPZ_SINK_H
#define BPZ_SINK_H

#include "record.h"

/* Exactly one of `floats`, `levels` and `values` is set, with room as the public calls say. */
typedef struct bpz_sink {
    const bpz_value_map *map;
    float *floats;
    int32_t *levels;
    float *values; /* with the next two: sparse rows */
    uint32_t *columns;
    uint32_t *row_pointer;
    uint64_t entries; /* stored so far */
    uint64_t room;    /* for entries */
    uint64_t row;     /* row_pointer is final up to and including this one */
} bpz_sink;

/* A level's value. BPZ_ERROR_CORRUPT outside a codebook, and where a grid's product overflows: in a forged file. */
bpz_status bpz_sink_value(const bpz_value_map *map, int32_t level, float *value);

/* Put one level; positions come in row-major order. `columns` are those of the whole matrix. Zeros may be left out. */
bpz_status bpz_sink_put(bpz_sink *sink, uint64_t row, uint64_t column, uint64_t columns, int32_t level);

/* After the last level: `rows` are those of the whole matrix. */
void bpz_sink_end(bpz_sink *sink, uint64_t rows);

#endif /* BPZ_SINK_H */
