/* layouts.c - entries under prefix codes, in one pass (FORMAT.md, section 8). */
#include <string.h>

#include "decoder.h"

/* Bits since `before` were left, added to one account. */
static void spend(uint64_t *account, const bpz_bits *bits, uint64_t before) {
    *account += before - bpz_bits_left(bits);
}

/* A value number as a level. `skipped` is 1 where zero has no number of its own, else 0. */
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

/* Read one value and put it at the current position. */
static bpz_status read_value(bpz_decoder *self, uint32_t skipped, int32_t *level) {
    const uint64_t before = bpz_bits_left(&self->bits);
    uint32_t number;
    bpz_status status = bpz_code_next(&self->value_code, &self->bits, &number);
    if (status != BPZ_OK) return status;
    if (self->spent != NULL) spend(&self->spent->values, &self->bits, before);
    status = level_of(self->out.map->kind, number, skipped, level);
    if (status != BPZ_OK) return status;
    return bpz_put(self, *level);
}

/* Positions between the previous non-zero and the next. Each filler moves on by at least one position, so
 * that no more than `room` of them are read whatever the bits say. */
static bpz_status read_gap(bpz_decoder *self, uint64_t room, uint64_t *gap) {
    const uint64_t before = bpz_bits_left(&self->bits);
    uint32_t number;
    *gap = 0;
    do {
        const bpz_status status = bpz_code_next(&self->index_code, &self->bits, &number);
        if (status != BPZ_OK) return status;
        if (number > self->filler) return BPZ_ERROR_CORRUPT;
        *gap += number;
        if (*gap >= room) return BPZ_ERROR_CORRUPT;
    } while (number == self->filler);
    if (self->spent != NULL) spend(&self->spent->indices, &self->bits, before);
    return BPZ_OK;
}

bpz_status bpz_dense_read(bpz_decoder *self) {
    uint64_t row, column, nonzero = 0;
    int32_t level;
    for (row = 0; row < self->row_mask.live; row++) {
        if (row != 0) bpz_next_row(self, 1);
        for (column = 0; column < self->first_column.live; column++) {
            bpz_status status;
            if (column != 0) bpz_mask_skip(&self->column_mask, 1);
            status = read_value(self, 0, &level);
            if (status != BPZ_OK) return status;
            nonzero += level != 0;
        }
    }
    return nonzero == self->nonzero ? BPZ_OK : BPZ_ERROR_CORRUPT;
}

bpz_status bpz_rows_read(bpz_decoder *self) {
    const uint64_t columns = self->first_column.live;
    uint64_t row, left = self->nonzero;
    for (row = 0; row < self->row_mask.live; row++) {
        const uint64_t before = bpz_bits_left(&self->bits);
        uint64_t next = 0, column = 0, gap; /* the first column not yet passed, and the cursor's */
        uint32_t in_row;
        bpz_status status;
        int32_t level;
        if (row != 0) bpz_next_row(self, 1);
        status = bpz_code_next(&self->row_code, &self->bits, &in_row);
        if (status != BPZ_OK) return status;
        if (self->spent != NULL) spend(&self->spent->rows, &self->bits, before);
        if (in_row > left || in_row > columns) return BPZ_ERROR_CORRUPT;
        left -= in_row;
        for (; in_row != 0; in_row--) {
            status = read_gap(self, columns - next, &gap);
            if (status != BPZ_OK) return status;
            bpz_mask_skip(&self->column_mask, next + gap - column);
            column = next + gap;
            next = column + 1u;
            status = read_value(self, 1, &level);
            if (status != BPZ_OK) return status;
        }
    }
    return left == 0 ? BPZ_OK : BPZ_ERROR_CORRUPT;
}

/* What the quick decoder needs, where it is of use: no masks to follow, and no account of the bits wanted. */
static bpz_quick quick_for(bpz_decoder *self, uint32_t *words) {
    bpz_quick quick;
    int32_t level;
    memset(&quick, 0, sizeof quick);
    quick.positions = self->row_mask.live * self->first_column.live;
    quick.columns = self->columns;
    quick.nonzero = self->nonzero;
    quick.filler = self->filler;
    quick.index_code = &self->index_code;
    quick.value_code = &self->value_code;
    quick.out = &self->out;
    quick.words = words;
    if (self->spent != NULL || self->row_mask.mode != BPZ_MASK_NONE || self->first_column.mode != BPZ_MASK_NONE) {
        return quick;
    }
    while (quick.known < BPZ_QUICK_VALUES && level_of(self->out.map->kind, quick.known, 1, &level) == BPZ_OK &&
           bpz_sink_level(self->out.map, self->out.element, level, &words[quick.known]) == BPZ_OK) {
        quick.known++;
    }
    return quick;
}

bpz_status bpz_running_read(bpz_decoder *self, uint32_t *words) {
    bpz_cursor cursor = {0, 0};
    bpz_quick quick = quick_for(self, words);
    for (;;) {
        uint64_t gap;
        int32_t level;
        bpz_status status = bpz_quick_running(&quick, &self->bits);
        if (status != BPZ_OK || quick.entry == self->nonzero) return status;
        status = read_gap(self, quick.positions - quick.position, &gap);
        if (status != BPZ_OK) return status;
        bpz_go_to(self, &cursor, quick.position + gap);
        status = read_value(self, 1, &level);
        if (status != BPZ_OK) return status;
        quick.position += gap + 1u;
        quick.entry++;
    }
}
