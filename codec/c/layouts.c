/* layouts.c - the entries of the prefix-coded layouts, in one pass (FORMAT.md, section 8).
 *
 * This is the general path: it handles masks, every code and every level, and counts bits where that is asked for. Each
 * loop is bounded by the positions of the matrix, whatever the stream says: an entry moves on by at least one position,
 * and so does a filler.
 */
#include <string.h>

#include "decoder.h"

/* Add the bits that were read since `before` bits were left to one count. */
static void count_bits(uint64_t *count, const bpzi_bits *bits, uint64_t before) {
    *count += before - bpzi_bits_left(bits);
}

/* A value number as a level (section 8.5). `skipped` is 1 where zero has no value number, else 0. BPZ_ERROR_CORRUPT
 * outside int32. */
static bpz_status level_of(uint32_t kind, uint32_t number, uint32_t skipped, int32_t *level) {
    const uint64_t shifted = (uint64_t)number + skipped;
    if (kind == BPZ_KIND_CODEBOOK) {
        if (shifted > INT32_MAX) return BPZ_ERROR_CORRUPT;
        *level = (int32_t)shifted;
        return BPZ_OK;
    }
    /* 0, 1, 2, 3, 4 mean 0, 1, -1, 2, -2 */
    if (shifted % 2u == 1u) {
        if (shifted / 2u + 1u > INT32_MAX) return BPZ_ERROR_CORRUPT;
        *level = (int32_t)(shifted / 2u + 1u);
    } else {
        *level = (int32_t)-(int64_t)(shifted / 2u);
    }
    return BPZ_OK;
}

/* Read one value number and put its level at the present position. */
static bpz_status read_value(bpzi_decoder *self, uint32_t skipped, int32_t *level) {
    const uint64_t before = bpzi_bits_left(&self->bits);
    uint32_t number;
    bpz_status status = bpzi_code_next(&self->value_code, &self->bits, &number);
    if (status != BPZ_OK) return status;
    if (self->bit_usage != NULL) count_bits(&self->bit_usage->values, &self->bits, before);
    status = level_of(self->out.map->kind, number, skipped, level);
    if (status != BPZ_OK) return status;
    return bpzi_put(self, *level);
}

/* Read a gap (section 8.4); `limit` positions are left. Each filler passes over at least one of them, so no more than
 * `limit` are read. */
static bpz_status read_gap(bpzi_decoder *self, uint64_t limit, uint64_t *gap) {
    const uint64_t before = bpzi_bits_left(&self->bits);
    uint32_t number;
    *gap = 0;
    do {
        const bpz_status status = bpzi_code_next(&self->index_code, &self->bits, &number);
        if (status != BPZ_OK) return status;
        if (number > self->filler) return BPZ_ERROR_CORRUPT;
        *gap += number;
        if (*gap >= limit) return BPZ_ERROR_CORRUPT;
    } while (number == self->filler);
    if (self->bit_usage != NULL) count_bits(&self->bit_usage->indices, &self->bits, before);
    return BPZ_OK;
}

bpz_status bpzi_dense_read(bpzi_decoder *self) {
    uint64_t row, column, nonzero = 0;
    int32_t level;
    for (row = 0; row < self->row_mask.live; row++) {
        if (row != 0) bpzi_next_row(self, 1);
        for (column = 0; column < self->column_mask_start.live; column++) {
            bpz_status status;
            if (column != 0) bpzi_mask_skip(&self->column_mask, 1);
            status = read_value(self, 0, &level);
            if (status != BPZ_OK) return status;
            nonzero += level != 0;
        }
    }
    return nonzero == self->nonzero ? BPZ_OK : BPZ_ERROR_CORRUPT;
}

bpz_status bpzi_by_row_read(bpzi_decoder *self) {
    const uint64_t columns = self->column_mask_start.live;
    uint64_t row, left = self->nonzero;
    for (row = 0; row < self->row_mask.live; row++) {
        const uint64_t before = bpzi_bits_left(&self->bits);
        uint64_t next = 0, column = 0, gap; /* the first column not passed yet, and the one that the mask is at */
        uint32_t in_row;
        bpz_status status;
        int32_t level;
        if (row != 0) bpzi_next_row(self, 1);
        status = bpzi_code_next(&self->row_code, &self->bits, &in_row);
        if (status != BPZ_OK) return status;
        if (self->bit_usage != NULL) count_bits(&self->bit_usage->rows, &self->bits, before);
        if (in_row > left || in_row > columns) return BPZ_ERROR_CORRUPT;
        left -= in_row;
        for (; in_row != 0; in_row--) {
            status = read_gap(self, columns - next, &gap);
            if (status != BPZ_OK) return status;
            bpzi_mask_skip(&self->column_mask, next + gap - column);
            column = next + gap;
            next = column + 1u;
            status = read_value(self, 1, &level);
            if (status != BPZ_OK) return status;
        }
    }
    return left == 0 ? BPZ_OK : BPZ_ERROR_CORRUPT;
}

/* Set up the fast decoder. It is used without masks, and when bits are not counted; otherwise `known` stays 0. */
static bpzi_fast fast_for(bpzi_decoder *self, uint32_t *words) {
    bpzi_fast fast;
    int32_t level;
    memset(&fast, 0, sizeof fast);
    fast.positions = self->row_mask.live * self->column_mask_start.live;
    fast.columns = self->columns;
    fast.nonzero = self->nonzero;
    fast.filler = self->filler;
    fast.index_code = &self->index_code;
    fast.value_code = &self->value_code;
    fast.out = &self->out;
    fast.words = words;
    if (self->bit_usage != NULL || self->row_mask.mode != BPZ_MASK_NONE ||
        self->column_mask_start.mode != BPZ_MASK_NONE) {
        return fast;
    }
    while (fast.known < BPZ_FAST_VALUES && level_of(self->out.map->kind, fast.known, 1, &level) == BPZ_OK &&
           bpzi_output_level(self->out.map, self->out.element, level, &words[fast.known]) == BPZ_OK) {
        fast.known++;
    }
    return fast;
}

/* The fast decoder reads as far as it can, one entry is read here, and the fast decoder is asked again. */
bpz_status bpzi_running_read(bpzi_decoder *self, uint32_t *words) {
    bpzi_cursor cursor = {0, 0};
    bpzi_fast fast = fast_for(self, words);
    for (;;) {
        uint64_t gap;
        int32_t level;
        bpz_status status = bpzi_fast_running(&fast, &self->bits);
        if (status != BPZ_OK || fast.entry == self->nonzero) return status;
        status = read_gap(self, fast.positions - fast.position, &gap);
        if (status != BPZ_OK) return status;
        bpzi_go_to(self, &cursor, fast.position + gap);
        status = read_value(self, 1, &level);
        if (status != BPZ_OK) return status;
        fast.position += gap + 1u;
        fast.entry++;
    }
}
