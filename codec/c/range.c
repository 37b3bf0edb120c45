/* range.c - the adaptive layout, decoded (FORMAT.md, section 9). */
#include "decoder.h"

/* Sign and magnitude as a level; a codebook's are its indices. */
static bpz_status signed_level(uint32_t negative, uint32_t magnitude, int32_t *level) {
    if (magnitude > (uint32_t)INT32_MAX + negative) return BPZ_ERROR_CORRUPT;
    *level = negative ? (int32_t)-(int64_t)magnitude : (int32_t)magnitude;
    return BPZ_OK;
}

/* Read a value and put it at the current position. */
static inline bpz_status read_value(bpz_decoder *self, bpz_model *model, bpz_coder *coder, uint8_t *above) {
    const uint64_t before = self->spent == NULL ? 0 : bpz_coder_spent(coder);
    uint32_t negative = 0, magnitude = 0;
    int32_t level = 0;
    bpz_status status;
    bpz_model_value(model, coder, 0, above, &negative, &magnitude);
    if (self->spent != NULL) self->spent->values += bpz_coder_spent(coder) - before;
    status = signed_level(negative, magnitude, &level);
    return status == BPZ_OK ? bpz_put(self, level) : status;
}

static bpz_status read_by_position(bpz_decoder *self, bpz_model *model, bpz_coder *coder) {
    const uint64_t columns = self->first_column.live;
    uint64_t row, column, nonzero = 0;
    for (row = 0; row < self->row_mask.live; row++) {
        if (row != 0) bpz_next_row(self, 1);
        bpz_model_row(model);
        for (column = 0; column < columns; column++) {
            bpz_status status;
            if (column != 0) bpz_mask_skip(&self->column_mask, 1);
            if (!bpz_model_survives(model, coder, 0, column, 0)) continue;
            nonzero++;
            status = read_value(self, model, coder, bpz_model_above(model, column));
            if (status != BPZ_OK) return status;
        }
    }
    return nonzero == self->nonzero ? BPZ_OK : BPZ_ERROR_CORRUPT;
}

/* Elements of levels that are common, by magnitude and sign; returns how many. */
static uint32_t fill_words(const bpz_decoder *self, uint32_t *words) {
    uint32_t known;
    for (known = 0; known < BPZ_WORDS; known++) {
        int32_t level = (int32_t)(known >> 1);
        if (known & 1u) level = -level;
        if (level < 0 && self->out.map->kind == BPZ_KIND_CODEBOOK) continue; /* does not occur */
        if (bpz_sink_level(self->out.map, self->out.element, level, &words[known]) != BPZ_OK) break;
    }
    return known;
}

/* Without masks, and without an account: elements of common levels come from a table. */
static bpz_status read_quickly(bpz_decoder *self, bpz_workspace *room, bpz_coder *coder_) {
    const uint64_t positions = self->row_mask.live * self->first_column.live;
    const uint32_t known = fill_words(self, room->adaptive.words);
    bpz_model *const model = &room->adaptive.model;
    bpz_coder coder = *coder_; /* a copy whose address stays here lives in registers */
    bpz_flat flat = bpz_flat_begin(&self->out, self->columns);
    uint64_t entry, position = 0;
    for (entry = 0; entry < self->nonzero; entry++) {
        const uint64_t gap = bpz_model_gap(model, &coder, 0, 0, positions - position);
        uint32_t negative = 0, magnitude = 0, number;
        uint8_t above = 0;
        if (gap >= positions - position) return BPZ_ERROR_CORRUPT;
        if (gap != 0) model->left_sign = 0;
        bpz_model_value(model, &coder, 0, &above, &negative, &magnitude);
        number = magnitude << 1 | negative;
        position += gap;
        if (magnitude < BPZ_WORDS / 2u && number < known) {
            bpz_flat_put(&flat, position, entry, room->adaptive.words[number]);
        } else {
            uint32_t word;
            int32_t level;
            bpz_status status = signed_level(negative, magnitude, &level);
            if (status == BPZ_OK) status = bpz_sink_level(self->out.map, self->out.element, level, &word);
            if (status != BPZ_OK) return status;
            bpz_flat_put(&flat, position, entry, word);
        }
        position++;
    }
    self->out.entries = entry;
    *coder_ = coder;
    return BPZ_OK;
}

static bpz_status read_by_gap(bpz_decoder *self, bpz_workspace *room, bpz_coder *coder) {
    const uint64_t positions = self->row_mask.live * self->first_column.live;
    bpz_model *const model = &room->adaptive.model;
    uint64_t entry, position = 0;
    bpz_cursor cursor = {0, 0};
    bpz_model_begin_gaps(model, self->gap_bits);
    if (self->spent == NULL && self->row_mask.mode == BPZ_MASK_NONE && self->first_column.mode == BPZ_MASK_NONE) {
        return read_quickly(self, room, coder);
    }
    for (entry = 0; entry < self->nonzero; entry++) {
        const uint64_t gap = bpz_model_gap(model, coder, 0, 0, positions - position);
        uint8_t above = 0;
        bpz_status status;
        if (gap >= positions - position) return BPZ_ERROR_CORRUPT;
        if (gap != 0) model->left_sign = 0;
        bpz_go_to(self, &cursor, position + gap);
        status = read_value(self, model, coder, &above);
        if (status != BPZ_OK) return status;
        position += gap + 1u;
    }
    return BPZ_OK;
}

bpz_status bpz_adaptive_read(bpz_decoder *self, const uint8_t *payload, size_t payload_size, bpz_workspace *room) {
    bpz_model *const model = &room->adaptive.model;
    const uint64_t columns = self->first_column.live;
    bpz_coder coder;
    size_t size;
    bpz_status status = bpz_padding_read(self);
    if (status != BPZ_OK) return status;
    size = (size_t)(bpz_bits_left(&self->bits) / 8u);
    /* The zeros that end a stream are not stored. */
    if (size != 0 && payload[payload_size - 1u] == 0) return BPZ_ERROR_CORRUPT;
    bpz_coder_decode(&coder, payload + (payload_size - size), size);
    bpz_model_begin(model, columns, self->row_mask.live * columns, self->nonzero, self->mean_code,
                    self->out.map->kind != BPZ_KIND_CODEBOOK);
    status = self->by_gap ? read_by_gap(self, room, &coder) : read_by_position(self, model, &coder);
    if (status != BPZ_OK) return status;
    /* Four bytes settle the last interval; a writer's stream has no more. */
    if (size > coder.passed + 4u) return BPZ_ERROR_CORRUPT;
    if (self->spent != NULL) {
        if (self->spent->values > 8u * (uint64_t)size) self->spent->values = 8u * (uint64_t)size;
        self->spent->indices = 8u * (uint64_t)size - self->spent->values;
    }
    return BPZ_OK;
}
