/* flat.h - private: entries of a matrix without masks into their places, by position, without a division or a call for
 * each. */
#ifndef BPZ_FLAT_H
#define BPZ_FLAT_H

#include "sink.h"

typedef struct bpz_flat {
    bpz_sink *out;
    unsigned size;    /* of an element */
    uint64_t columns; /* of the matrix */
    uint64_t row_end; /* sparse rows: the position behind the present row */
} bpz_flat;

static inline bpz_flat bpz_flat_begin(bpz_sink *out, uint64_t columns) {
    bpz_flat flat;
    flat.out = out;
    flat.size = bpz_element_size(out->element);
    flat.columns = columns;
    flat.row_end = (out->row + 1u) * columns;
    return flat;
}

/* Put the element of entry number `entry` at a position; the caller vouches for both. */
static inline void bpz_flat_put(bpz_flat *flat, uint64_t position, uint64_t entry, uint32_t word) {
    bpz_sink *const out = flat->out;
    if (out->columns == NULL) {
        bpz_store(out->out, flat->size, position, word);
        return;
    }
    if (position >= flat->row_end) {
        const uint64_t row = position / flat->columns;
        while (out->row < row) out->row_pointer[++out->row] = (uint32_t)entry;
        flat->row_end = (row + 1u) * flat->columns;
    }
    out->columns[entry] = (uint32_t)(position - (flat->row_end - flat->columns));
    bpz_store(out->out, flat->size, entry, word);
}

#endif /* BPZ_FLAT_H */
