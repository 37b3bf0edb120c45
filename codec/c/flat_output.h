/* flat_output.h - private: puts entries of a matrix without masks in their places by position, for the fast paths.
 *
 * For sparse rows a position has to become a row and a column. Entries are in order, so most lie in the row of the one
 * before: `row_end` tells so with a comparison, and a division is needed only at the first entry of a row.
 */
#ifndef BPZ_FLAT_OUTPUT_H
#define BPZ_FLAT_OUTPUT_H

#include "output.h"

typedef struct bpzi_flat_output {
    bpzi_output *out;
    unsigned size;    /* bytes of an element */
    uint64_t columns; /* columns of the matrix */
    uint64_t row_end; /* sparse rows: the first position after the present row */
} bpzi_flat_output;

/* Begin where `out` stands; `columns` is not 0. */
static inline bpzi_flat_output bpzi_flat_output_begin(bpzi_output *out, uint64_t columns) {
    bpzi_flat_output flat;
    flat.out = out;
    flat.size = bpzi_element_size(out->element);
    flat.columns = columns;
    flat.row_end = (out->row + 1u) * columns;
    return flat;
}

/* Put the element of entry number `entry` at a position. The caller has checked both against the room. */
static inline void bpzi_flat_output_put(bpzi_flat_output *flat, uint64_t position, uint64_t entry, uint32_t word) {
    bpzi_output *const out = flat->out;
    if (out->columns == NULL) {
        bpzi_store(out->out, flat->size, position, word);
        return;
    }
    if (position >= flat->row_end) {
        const uint64_t row = position / flat->columns;
        while (out->row < row) out->row_pointer[++out->row] = (uint32_t)entry;
        flat->row_end = (row + 1u) * flat->columns;
    }
    out->columns[entry] = (uint32_t)(position - (flat->row_end - flat->columns));
    bpzi_store(out->out, flat->size, entry, word);
}

#endif /* BPZ_FLAT_OUTPUT_H */
