/* output.h - private: where decoded levels go: a dense array, or compressed sparse rows, of one kind of element. */
#ifndef BPZ_OUTPUT_H
#define BPZ_OUTPUT_H

#include <string.h>

#include "section.h"

/* Room in the arrays is as the public calls say. */
typedef struct bpzi_output {
    const bpz_value_map *map;
    bpz_element element;
    uint8_t *out;      /* elements: all of the matrix, or those of the entries */
    uint32_t *columns; /* sparse rows, with the next; else NULL */
    uint32_t *row_pointer;
    uint64_t entries;  /* stored so far */
    uint64_t capacity; /* entries that there are arrays for */
    uint64_t row;      /* row_pointer is final up to and including this one */
} bpzi_output;

static inline unsigned bpzi_element_size(bpz_element element) {
    return element == BPZ_INT8 ? 1u : element == BPZ_FLOAT16 ? 2u : 4u;
}

/* Put an element, by its bits, in its place. */
static inline void bpzi_store(uint8_t *out, unsigned size, uint64_t index, uint32_t word) {
    if (size == 4u) {
        memcpy(out + 4u * (size_t)index, &word, 4);
    } else if (size == 2u) {
        const uint16_t half = (uint16_t)word;
        memcpy(out + 2u * (size_t)index, &half, 2);
    } else {
        out[index] = (uint8_t)word;
    }
}

/* A value's bits as an element's bits. BPZ_ERROR_UNSUPPORTED where it does not fit. */
bpz_status bpzi_output_float(bpz_element element, uint32_t *word);

/* A level as an element's bits. */
bpz_status bpzi_output_level(const bpz_value_map *map, bpz_element element, int32_t level, uint32_t *word);

/* Put one level; positions come in row-major order. `columns` are those of the whole matrix. Zeros may be left out. */
bpz_status bpzi_output_put(bpzi_output *output, uint64_t row, uint64_t column, uint64_t columns, int32_t level);

/* After the last level: `rows` are those of the whole matrix. */
void bpzi_output_end(bpzi_output *output, uint64_t rows);

#endif /* BPZ_OUTPUT_H */
