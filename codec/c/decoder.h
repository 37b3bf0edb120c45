/* decoder.h - private: the state of decoding one bit stream, and the layouts that it may have (FORMAT.md, sections 6 to
 * 9).
 *
 * decode.c reads the fields before the entries and then calls one of the layouts: dense, by row and running in
 * layouts.c, adaptive in decode_adaptive.c. A layout finds the non-zeros in the order of their positions. Where they go
 * is hidden from it: the masks turn a live position into a row and a column (bpzi_decoder), and a bpzi_output puts a
 * level into a dense array or into sparse rows (output.h).
 *
 * The general path does this for each entry with calls, and is right for every stream. Two fast paths do the same for
 * the streams that large networks have, without masks: decode_fast.c for the running layout, read_fast of
 * decode_adaptive.c for gaps. They leave everything unusual to the general path, which is the one that counts bits for
 * bpz_decode_with_usage; tests compare both.
 */
#ifndef BPZ_DECODER_H
#define BPZ_DECODER_H

#include "adaptive_model.h"
#include "checksum.h"
#include "code.h"
#include "mask.h"
#include "decode_fast.h"
#include "output.h"

/* Elements that the adaptive fast path keeps by their bits: those of magnitudes below half of this, with both signs. */
#define BPZ_WORDS 512u

#define BPZ_LAYOUT_DENSE    0u
#define BPZ_LAYOUT_BY_ROW   1u
#define BPZ_LAYOUT_RUNNING  2u
#define BPZ_LAYOUT_ADAPTIVE 3u

/* What the caller lends. A checksum is verified before anything is decoded, and a stream is either prefix-coded or
 * adaptive: so the three parts share one memory. `lengths` is used by one code after the other. */
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

/* What SECURITY.md promises of the workspace. */
BPZ_STATIC_ASSERT(workspace_is_small, sizeof(bpzi_workspace) < 64u * 1024u);

/* The state of decoding one bit stream. The masks hold the present live position as a row and a column of the whole
 * matrix. */
typedef struct bpzi_decoder {
    bpzi_bits bits;
    bpzi_output out;
    uint64_t columns; /* of the whole matrix */
    uint64_t nonzero;
    bpzi_mask row_mask;
    bpzi_mask column_mask_start; /* as it was read, never begun: copied for each row */
    bpzi_mask column_mask;
    uint32_t layout;
    uint32_t filler;
    uint32_t mean_code;
    uint32_t is_by_gap;
    uint32_t gap_bits;
    bpzi_code row_code, index_code, value_code;
    bpz_bit_usage *bit_usage; /* NULL when bits are not counted */
} bpzi_decoder;

/* Put one level at the present position. */
static inline bpz_status bpzi_put(bpzi_decoder *self, int32_t level) {
    return bpzi_output_put(&self->out, self->row_mask.position, self->column_mask.position, self->columns, level);
}

/* Go `rows` live rows further, and to the first live column there. */
static inline void bpzi_next_row(bpzi_decoder *self, uint64_t rows) {
    bpzi_mask_skip(&self->row_mask, rows);
    self->column_mask = self->column_mask_start;
    bpzi_mask_begin(&self->column_mask);
}

/* The present live position, for layouts that jump from one non-zero to the next. */
typedef struct bpzi_cursor {
    uint64_t row, column;
} bpzi_cursor;

/* Go to a live position, which is not before the cursor. */
static inline void bpzi_go_to(bpzi_decoder *self, bpzi_cursor *cursor, uint64_t position) {
    const uint64_t columns = self->column_mask_start.live, row = position / columns, column = position % columns;
    if (row != cursor->row) {
        bpzi_next_row(self, row - cursor->row);
        cursor->row = row;
        cursor->column = 0;
    }
    bpzi_mask_skip(&self->column_mask, column - cursor->column);
    cursor->column = column;
}

/* Read the padding up to the end of the byte. BPZ_ERROR_CORRUPT for a bit that is 1. */
bpz_status bpzi_padding_read(bpzi_decoder *self);

/* Read the entries of layouts 0 to 2, after the descriptions of their codes. `fast` is room for BPZ_FAST_VALUES. */
bpz_status bpzi_dense_read(bpzi_decoder *self);
bpz_status bpzi_by_row_read(bpzi_decoder *self);
bpz_status bpzi_running_read(bpzi_decoder *self, uint32_t *fast);

/* Read layout 3 from its padding on. The stream ends with `payload`, which is the whole bit stream. */
bpz_status bpzi_adaptive_read(bpzi_decoder *self, const uint8_t *payload, size_t size, bpzi_workspace *workspace);

#endif /* BPZ_DECODER_H */
