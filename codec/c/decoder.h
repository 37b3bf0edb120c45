/* decoder.h - private: one section's decoding, and the layouts that it may have (FORMAT.md, sections 6 to 9). */
#ifndef BPZ_DECODER_H
#define BPZ_DECODER_H

#include "adaptive_model.h"
#include "checksum.h"
#include "code.h"
#include "mask.h"
#include "decode_fast.h"
#include "output.h"

/* Elements, by their bits, of levels of magnitudes below half of it. */
#define BPZ_WORDS 512u

#define BPZ_LAYOUT_DENSE    0u
#define BPZ_LAYOUT_ROWS     1u
#define BPZ_LAYOUT_RUNNING  2u
#define BPZ_LAYOUT_ADAPTIVE 3u

/* What the caller lends: tables for a checksum; then a decoding table for each stream and room for one list of code
 * lengths, or a model. */
typedef union bpzi_workspace {
    uint32_t checksum[BPZ_CHECKSUM_TABLE];
    struct {
        uint16_t rows[BPZ_TABLE_ENTRIES];
        uint16_t indices[BPZ_TABLE_ENTRIES];
        uint16_t values[BPZ_TABLE_ENTRIES];
        uint32_t fast[BPZ_FAST_VALUES];
        uint8_t lengths[BPZ_MAX_SYMBOLS];
    } tables;
    struct {
        bpzi_model model;
        uint32_t words[BPZ_WORDS];
    } adaptive;
} bpzi_workspace;

/* The position (row, column) counts live rows and columns only; row_mask and column_mask turn it into one of the whole
 * matrix. */
typedef struct bpzi_decoder {
    bpzi_bits bits;
    bpzi_output out;
    uint64_t columns; /* of the whole matrix */
    uint64_t nonzero;
    bpzi_mask row_mask;
    bpzi_mask first_column; /* never begun: copied for each row */
    bpzi_mask column_mask;
    uint32_t layout;
    uint32_t filler;
    uint32_t mean_code;
    uint32_t by_gap;
    uint32_t gap_bits;
    bpzi_code row_code, index_code, value_code;
    bpz_bit_usage *bit_usage; /* NULL: nobody wants to know */
} bpzi_decoder;

/* Put one level at the current position. */
static inline bpz_status bpzi_put(bpzi_decoder *self, int32_t level) {
    return bpzi_output_put(&self->out, self->row_mask.position, self->column_mask.position, self->columns, level);
}

/* Go `rows` live rows further, to the first live column. */
static inline void bpzi_next_row(bpzi_decoder *self, uint64_t rows) {
    bpzi_mask_skip(&self->row_mask, rows);
    self->column_mask = self->first_column;
    bpzi_mask_begin(&self->column_mask);
}

/* Where a walk through the live matrix stands, for those that jump. */
typedef struct bpzi_cursor {
    uint64_t row, column;
} bpzi_cursor;

/* Go to a live position, not before the cursor. */
static inline void bpzi_go_to(bpzi_decoder *self, bpzi_cursor *cursor, uint64_t position) {
    const uint64_t columns = self->first_column.live, row = position / columns, column = position % columns;
    if (row != cursor->row) {
        bpzi_next_row(self, row - cursor->row);
        cursor->row = row;
        cursor->column = 0;
    }
    bpzi_mask_skip(&self->column_mask, column - cursor->column);
    cursor->column = column;
}

/* Zero bits up to the end of a byte. */
bpz_status bpzi_padding_read(bpzi_decoder *self);

/* The entries of layouts 0 to 2, behind the codes' descriptions. `fast` has room for BPZ_FAST_VALUES. */
bpz_status bpzi_dense_read(bpzi_decoder *self);
bpz_status bpzi_rows_read(bpzi_decoder *self);
bpz_status bpzi_running_read(bpzi_decoder *self, uint32_t *fast);

/* The rest of layout 3, which ends where `payload` does. */
bpz_status bpzi_adaptive_read(bpzi_decoder *self, const uint8_t *payload, size_t size, bpzi_workspace *workspace);

#endif /* BPZ_DECODER_H */
