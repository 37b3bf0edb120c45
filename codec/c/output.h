/* output.h - private: where decoded levels go: into a dense array, or into compressed sparse rows, as one type of
 * element.
 *
 * The layouts call bpzi_output_put in the order of positions and do not know the difference. Sparse rows are filled in
 * this order: an entry ends the rows before its own, and bpzi_output_end ends the rest.
 */
#ifndef BPZ_OUTPUT_H
#define BPZ_OUTPUT_H

#include <string.h>

#include "section.h"

/* The public calls have checked that the arrays have room for the tensor. */
typedef struct bpzi_output {
    const bpz_value_map *map;
    bpz_element element;
    uint8_t *out;      /* dense: all elements of the matrix; sparse rows: those of the entries */
    uint32_t *columns; /* of the entries, and row pointers: sparse rows; NULL for a dense array */
    uint32_t *row_pointer;
    uint64_t entries;  /* stored so far */
    uint64_t capacity; /* entries that the arrays have room for */
    uint64_t row;      /* row_pointer is final up to and including this one */
} bpzi_output;

/* Bytes of an element. */
static inline unsigned bpzi_element_size(bpz_element element) {
    return element == BPZ_INT8 ? 1u : element == BPZ_FLOAT16 ? 2u : 4u;
}

/* Store an element by its bits, in the byte order of the machine. */
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

/* The bits of a float32 value as those of the element, BPZ_FLOAT32 or BPZ_FLOAT16. BPZ_ERROR_UNSUPPORTED when it does
 * not fit. */
bpz_status bpzi_output_float(bpz_element element, uint32_t *word);

/* A level as the bits of an element. BPZ_ERROR_CORRUPT for a level without a value, BPZ_ERROR_UNSUPPORTED when it does
 * not fit. */
bpz_status bpzi_output_level(const bpz_value_map *map, bpz_element element, int32_t level, uint32_t *word);

/* Put one level; positions come in row-major order. `columns` are those of the whole matrix. Zeros may be left out.
 * BPZ_ERROR_CORRUPT for more non-zeros than there is room for, or what bpzi_output_level returns. */
bpz_status bpzi_output_put(bpzi_output *output, uint64_t row, uint64_t column, uint64_t columns, int32_t level);

/* Complete the row pointers after the last level; `rows` are those of the whole matrix. */
void bpzi_output_end(bpzi_output *output, uint64_t rows);

#endif /* BPZ_OUTPUT_H */
