/* decoder.h - private: one section's decoding, and the layouts that it may have (FORMAT.md, sections 6 to 9). */
#ifndef BPZ_DECODER_H
#define BPZ_DECODER_H

#include "adaptive.h"
#include "checksum.h"
#include "code.h"
#include "mask.h"
#include "quick.h"
#include "sink.h"

/* Elements, by their bits, of levels of magnitudes below half of it. */
#define BPZ_WORDS 512u

#define BPZ_LAYOUT_DENSE 0u
#define BPZ_LAYOUT_ROWS 1u
#define BPZ_LAYOUT_RUNNING 2u
#define BPZ_LAYOUT_ADAPTIVE 3u

/* What the caller lends: tables for a checksum; then a decoding table for each stream and room for one list of code
 * lengths, or a model. */
typedef union bpz_workspace {
    uint32_t checksum[BPZ_CHECKSUM_TABLE];
    struct {
        uint16_t rows[BPZ_TABLE_ENTRIES];
        uint16_t indices[BPZ_TABLE_ENTRIES];
        uint16_t values[BPZ_TABLE_ENTRIES];
        uint32_t quick[BPZ_QUICK_VALUES];
        uint8_t lengths[BPZ_MAX_SYMBOLS];
    } tables;
    struct {
        bpz_model model;
        uint32_t words[BPZ_WORDS];
    } adaptive;
} bpz_workspace;

/* The position (row, column) counts live rows and columns only; row_mask and column_mask turn it into one of the whole
 * matrix. */
typedef struct bpz_decoder {
    bpz_bits bits;
    bpz_sink out;
    uint64_t columns; /* of the whole matrix */
    uint64_t nonzero;
    bpz_mask row_mask;
    bpz_mask first_column; /* never begun: copied for each row */
    bpz_mask column_mask;
    uint32_t layout;
    uint32_t filler;
    uint32_t mean_code;
    uint32_t by_gap;
    uint32_t gap_bits;
    bpz_code row_code, index_code, value_code;
    bpz_spent *spent; /* NULL: nobody wants to know */
} bpz_decoder;

/* Put one level at the current position. */
static inline bpz_status bpz_put(bpz_decoder *self, int32_t level) {
    return bpz_sink_put(&self->out, self->row_mask.position, self->column_mask.position, self->columns, level);
}

/* Go `rows` live rows further, to the first live column. */
static inline void bpz_next_row(bpz_decoder *self, uint64_t rows) {
    bpz_mask_skip(&self->row_mask, rows);
    self->column_mask = self->first_column;
    bpz_mask_begin(&self->column_mask);
}

/* Where a walk through the live matrix stands, for those that jump. */
typedef struct bpz_cursor {
    uint64_t row, column;
} bpz_cursor;

/* Go to a live position, not before the cursor. */
static inline void bpz_go_to(bpz_decoder *self, bpz_cursor *cursor, uint64_t position) {
    const uint64_t columns = self->first_column.live, row = position / columns, column = position % columns;
    if (row != cursor->row) {
        bpz_next_row(self, row - cursor->row);
        cursor->row = row;
        cursor->column = 0;
    }
    bpz_mask_skip(&self->column_mask, column - cursor->column);
    cursor->column = column;
}

/* Zero bits up to the end of a byte. */
bpz_status bpz_padding_read(bpz_decoder *self);

/* The entries of layouts 0 to 2, behind the codes' descriptions. `quick` has room for BPZ_QUICK_VALUES. */
bpz_status bpz_dense_read(bpz_decoder *self);
bpz_status bpz_rows_read(bpz_decoder *self);
bpz_status bpz_running_read(bpz_decoder *self, uint32_t *quick);

/* The rest of layout 3, which ends where `payload` does. */
bpz_status bpz_adaptive_read(bpz_decoder *self, const uint8_t *payload, size_t size, bpz_workspace *room);

#endif /* BPZ_DECODER_H */
