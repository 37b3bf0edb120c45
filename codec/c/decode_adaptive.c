/* decode_adaptive.c - the adaptive layout (FORMAT.md, section 9).
 *
 * A range-coded stream has no end that its bits would show: after its bytes it continues with zeros, and every stream
 * decodes to something. So the end is checked afterwards: no byte may be left that the last interval does not need.
 * Flags are bounded by the matrix, gaps by the positions that are left, and values by 31 bits of exponent and 31
 * digits; no stream makes decoding longer than its matrix allows.
 */
#include "decoder.h"

/* Sign and magnitude as a level. BPZ_ERROR_CORRUPT outside int32. */
static bpz_status signed_level(uint32_t negative, uint32_t magnitude, int32_t *level) {
    if (magnitude > (uint32_t)INT32_MAX + negative) return BPZ_ERROR_CORRUPT;
    *level = negative ? (int32_t)-(int64_t)magnitude : (int32_t)magnitude;
    return BPZ_OK;
}

/* Read a value and put it at the present position. */
static inline bpz_status read_value(bpzi_decoder *self, bpzi_model *model, bpzi_coder *coder, uint8_t *above) {
    const uint64_t before = self->bit_usage == NULL ? 0 : bpzi_coder_bits_used(coder);
    uint32_t negative = 0, magnitude = 0;
    int32_t level = 0;
    bpz_status status;
    bpzi_model_value(model, coder, 0, above, &negative, &magnitude);
    if (self->bit_usage != NULL) self->bit_usage->values += bpzi_coder_bits_used(coder) - before;
    status = signed_level(negative, magnitude, &level);
    return status == BPZ_OK ? bpzi_put(self, level) : status;
}

/* Section 9.8. */
static bpz_status read_by_position(bpzi_decoder *self, bpzi_model *model, bpzi_coder *coder) {
    const uint64_t columns = self->column_mask_start.live;
    uint64_t row, column, nonzero = 0;
    for (row = 0; row < self->row_mask.live; row++) {
        if (row != 0) bpzi_next_row(self, 1);
        bpzi_model_begin_row(model);
        for (column = 0; column < columns; column++) {
            bpz_status status;
            if (column != 0) bpzi_mask_skip(&self->column_mask, 1);
            if (!bpzi_model_flag(model, coder, 0, column, 0)) continue;
            nonzero++;
            status = read_value(self, model, coder, bpzi_model_above(model, column));
            if (status != BPZ_OK) return status;
        }
    }
    return nonzero == self->nonzero ? BPZ_OK : BPZ_ERROR_CORRUPT;
}

/* Fill the table of elements of small levels, by magnitude << 1 | negative; returns its length. It ends before the
 * first level that has no element, which the general path then rejects if it occurs. */
static uint32_t fill_words(const bpzi_decoder *self, uint32_t *words) {
    uint32_t known;
    for (known = 0; known < BPZ_WORDS; known++) {
        int32_t level = (int32_t)(known >> 1);
        if (known & 1u) level = -level;
        if (level < 0 && self->out.map->kind == BPZ_KIND_CODEBOOK) continue; /* a codebook has no signs */
        if (bpzi_output_level(self->out.map, self->out.element, level, &words[known]) != BPZ_OK) break;
    }
    return known;
}

/* Section 9.9 without masks, and without counting bits: elements of small levels come from a table. */
static bpz_status read_fast(bpzi_decoder *self, bpzi_workspace *workspace, bpzi_coder *coder_) {
    const uint64_t positions = self->row_mask.live * self->column_mask_start.live;
    const uint32_t known = fill_words(self, workspace->adaptive.words);
    bpzi_model *const model = &workspace->adaptive.model;
    bpzi_coder coder = *coder_; /* a copy whose address does not leave this function can live in registers */
    bpzi_flat_output flat = bpzi_flat_output_begin(&self->out, self->columns);
    uint64_t entry, position = 0;
    for (entry = 0; entry < self->nonzero; entry++) {
        const uint64_t gap = bpzi_model_gap(model, &coder, 0, 0, positions - position);
        uint32_t negative = 0, magnitude = 0, number;
        uint8_t above = 0;
        if (gap >= positions - position) return BPZ_ERROR_CORRUPT;
        if (gap != 0) model->left_sign = 0;
        bpzi_model_value(model, &coder, 0, &above, &negative, &magnitude);
        number = magnitude << 1 | negative;
        position += gap;
        if (magnitude < BPZ_WORDS / 2u && number < known) {
            bpzi_flat_output_put(&flat, position, entry, workspace->adaptive.words[number]);
        } else {
            uint32_t word;
            int32_t level;
            bpz_status status = signed_level(negative, magnitude, &level);
            if (status == BPZ_OK) status = bpzi_output_level(self->out.map, self->out.element, level, &word);
            if (status != BPZ_OK) return status;
            bpzi_flat_output_put(&flat, position, entry, word);
        }
        position++;
    }
    self->out.entries = entry;
    *coder_ = coder;
    return BPZ_OK;
}

/* Section 9.9. */
static bpz_status read_by_gap(bpzi_decoder *self, bpzi_workspace *workspace, bpzi_coder *coder) {
    const uint64_t positions = self->row_mask.live * self->column_mask_start.live;
    bpzi_model *const model = &workspace->adaptive.model;
    uint64_t entry, position = 0;
    bpzi_cursor cursor = {0, 0};
    bpzi_model_begin_gaps(model, self->gap_bits);
    if (self->bit_usage == NULL && self->row_mask.mode == BPZ_MASK_NONE &&
        self->column_mask_start.mode == BPZ_MASK_NONE) {
        return read_fast(self, workspace, coder);
    }
    for (entry = 0; entry < self->nonzero; entry++) {
        const uint64_t gap = bpzi_model_gap(model, coder, 0, 0, positions - position);
        uint8_t above = 0;
        bpz_status status;
        if (gap >= positions - position) return BPZ_ERROR_CORRUPT;
        if (gap != 0) model->left_sign = 0;
        bpzi_go_to(self, &cursor, position + gap);
        status = read_value(self, model, coder, &above);
        if (status != BPZ_OK) return status;
        position += gap + 1u;
    }
    return BPZ_OK;
}

bpz_status bpzi_adaptive_read(bpzi_decoder *self, const uint8_t *payload, size_t payload_size,
                              bpzi_workspace *workspace) {
    bpzi_model *const model = &workspace->adaptive.model;
    const uint64_t columns = self->column_mask_start.live;
    bpzi_coder coder;
    size_t size;
    bpz_status status = bpzi_padding_read(self);
    if (status != BPZ_OK) return status;
    size = (size_t)(bpzi_bits_left(&self->bits) / 8u);
    /* Zeros at the end are implied, and must not be stored. */
    if (size != 0 && payload[payload_size - 1u] == 0) return BPZ_ERROR_CORRUPT;
    bpzi_coder_begin_decoding(&coder, payload + (payload_size - size), size);
    bpzi_model_begin(model, columns, self->row_mask.live * columns, self->nonzero, self->mean_code,
                     self->out.map->kind != BPZ_KIND_CODEBOOK);
    status = self->is_by_gap ? read_by_gap(self, workspace, &coder) : read_by_position(self, model, &coder);
    if (status != BPZ_OK) return status;
    /* The last interval is at least 2^32 wide, so four bytes after those that were shifted out name a place in it. */
    if (size > coder.shifted_bytes + 4u) return BPZ_ERROR_CORRUPT;
    if (self->bit_usage != NULL) {
        if (self->bit_usage->values > 8u * (uint64_t)size) self->bit_usage->values = 8u * (uint64_t)size;
        self->bit_usage->indices = 8u * (uint64_t)size - self->bit_usage->values;
    }
    return BPZ_OK;
}
