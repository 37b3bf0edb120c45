/* encode.c - the primitives of the encoder (bpz_encode.h): bits, entries of the prefix-coded layouts, and adaptive
 * streams.
 *
 * What to write is decided in Python, where it is easy to try every layout and code; this file does the part that goes
 * through each weight. The adaptive streams are written by the code that decodes them (adaptive_model.h).
 */
#include "bpz_encode.h"

#include "adaptive_model.h"

/* Append the lowest `width` bits of a number, in pieces that end where a byte does. */
static bpz_status put_bits(bpz_writer *writer, uint32_t number, unsigned width) {
    if (width > BPZ_BITS_READ_MAX) return BPZ_ERROR_ARGUMENT;
    if (writer->bit_count + width > (uint64_t)writer->capacity * 8u) return BPZ_ERROR_BUFFER_TOO_SMALL;
    while (width != 0) {
        const unsigned room = 8u - (unsigned)(writer->bit_count % 8u);
        const unsigned taken = width < room ? width : room;
        const unsigned chunk = (number >> (width - taken)) & ((1u << taken) - 1u);
        uint8_t *byte = &writer->out[writer->bit_count / 8u];
        *byte = (uint8_t)(*byte | chunk << (room - taken));
        writer->bit_count += taken;
        width -= taken;
    }
    return BPZ_OK;
}

/* Append a number in its code. BPZ_ERROR_ARGUMENT when it has none. */
static bpz_status put_number(bpz_writer *writer, const bpz_write_code *code, uint32_t number) {
    if (code->lengths == NULL) {
        if (number < code->base || (uint64_t)(number - code->base) >> code->raw_bits != 0) return BPZ_ERROR_ARGUMENT;
        return put_bits(writer, number - code->base, code->raw_bits);
    } else {
        const uint64_t symbol = (uint64_t)number >> code->raw_bits;
        bpz_status status;
        if (symbol >= code->symbol_count || code->lengths[symbol] == 0) return BPZ_ERROR_ARGUMENT;
        status = put_bits(writer, code->codes[symbol], code->lengths[symbol]);
        return status == BPZ_OK ? put_bits(writer, number, code->raw_bits) : status;
    }
}

bpz_status bpz_write_bits(bpz_writer *writer, const uint32_t *numbers, const uint8_t *widths, size_t count) {
    size_t at;
    for (at = 0; at < count; at++) {
        const bpz_status status = put_bits(writer, numbers[at], widths[at]);
        if (status != BPZ_OK) return status;
    }
    return BPZ_OK;
}

bpz_status bpz_write_entries(bpz_writer *writer, const bpz_entries *entries, const bpz_write_code *segment_code,
                             const bpz_write_code *index_code, const bpz_write_code *value_code) {
    uint64_t segment, entry = 0;
    uint32_t filler;
    if (entries->gaps != NULL && (entries->index_bits == 0 || entries->index_bits > 31)) return BPZ_ERROR_ARGUMENT;
    filler = entries->gaps == NULL ? 0 : (uint32_t)(((uint64_t)1 << entries->index_bits) - 1u);
    for (segment = 0; segment < entries->segment_count; segment++) {
        uint32_t left = entries->in_segment[segment];
        bpz_status status = BPZ_OK;
        if (left > entries->count - entry) return BPZ_ERROR_ARGUMENT;
        if (entries->write_segments) status = put_number(writer, segment_code, left);
        for (; left != 0; left--, entry++) {
            if (entries->gaps != NULL) {
                uint32_t gap = entries->gaps[entry];
                for (; gap >= filler && status == BPZ_OK; gap -= filler)
                    status = put_number(writer, index_code, filler);
                if (status == BPZ_OK) status = put_number(writer, index_code, gap);
            }
            if (status == BPZ_OK) status = put_number(writer, value_code, entries->values[entry]);
            if (status != BPZ_OK) return status;
        }
        if (status != BPZ_OK) return status;
    }
    return entry == entries->count ? BPZ_OK : BPZ_ERROR_ARGUMENT;
}

size_t bpz_adaptive_workspace_size(void) { return sizeof(bpzi_model); }

/* Check what both adaptive writers are given, and begin their model. */
static bpz_status begin(const bpz_matrix *matrix, bpzi_model *model, size_t workspace_size) {
    if (matrix->nonzero == 0 || matrix->mean_code >= 1u << BPZ_MEAN_BITS) return BPZ_ERROR_ARGUMENT;
    if (workspace_size < sizeof *model) return BPZ_ERROR_BUFFER_TOO_SMALL;
    bpzi_model_begin(model, matrix->columns, matrix->rows * matrix->columns, matrix->nonzero, matrix->mean_code,
                     matrix->is_signed);
    return BPZ_OK;
}

/* End a stream. Any number of the last interval will do, and zeros at its end are not stored: so take the one with the
 * most zero bytes. Rounding `low` up to a multiple of 2^56, 2^48, ... until it stays within the interval finds it. */
static bpz_status end(bpzi_coder *coder, size_t *size) {
    uint64_t rounded = 0, zeros = UINT64_MAX >> 8; /* after the first byte, at most */
    unsigned byte;
    while (zeros != 0) {
        rounded = (0u - coder->low) & zeros; /* up to the next multiple */
        if (rounded < coder->range) break;
        zeros >>= 8;
    }
    bpzi_coder_raise_low(coder, zeros != 0 ? rounded : 0);
    for (byte = 0; byte < 8; byte++, coder->low <<= 8) {
        if (coder->shifted_bytes < coder->capacity) coder->out[coder->shifted_bytes] = (uint8_t)(coder->low >> 56);
        if (coder->low == 0) break;
        coder->shifted_bytes++;
    }
    if (coder->shifted_bytes > coder->capacity) return BPZ_ERROR_BUFFER_TOO_SMALL;
    *size = (size_t)coder->shifted_bytes;
    while (*size != 0 && coder->out[*size - 1u] == 0) (*size)--;
    return BPZ_OK;
}

bpz_status bpz_write_adaptive(const bpz_matrix *matrix, const int32_t *levels, uint8_t *out, size_t capacity,
                              size_t *size, void *workspace, size_t workspace_size) {
    bpzi_model *const model = workspace;
    bpzi_coder coder;
    uint64_t row, column;
    const bpz_status status = begin(matrix, model, workspace_size);
    if (status != BPZ_OK) return status;
    bpzi_coder_begin_encoding(&coder, out, capacity);
    for (row = 0; row < matrix->rows; row++) {
        bpzi_model_begin_row(model);
        for (column = 0; column < matrix->columns; column++, levels++) {
            uint32_t negative = *levels < 0;
            uint32_t magnitude = negative ? 0u - (uint32_t)*levels : (uint32_t)*levels;
            if (negative && !matrix->is_signed) return BPZ_ERROR_ARGUMENT;
            if (bpzi_model_flag(model, &coder, 1, column, magnitude != 0)) {
                bpzi_model_value(model, &coder, 1, bpzi_model_above(model, column), &negative, &magnitude);
            }
        }
    }
    return end(&coder, size);
}

bpz_status bpz_write_gaps(const bpz_matrix *matrix, uint32_t gap_bits, const uint32_t *gaps, const uint32_t *values,
                          uint8_t *out, size_t capacity, size_t *size, void *workspace, size_t workspace_size) {
    bpzi_model *const model = workspace;
    bpzi_coder coder;
    uint64_t entry;
    const bpz_status status = begin(matrix, model, workspace_size);
    if (status != BPZ_OK) return status;
    if (gap_bits > 31) return BPZ_ERROR_ARGUMENT;
    bpzi_model_begin_gaps(model, gap_bits);
    bpzi_coder_begin_encoding(&coder, out, capacity);
    for (entry = 0; entry < matrix->nonzero; entry++) {
        uint32_t negative = matrix->is_signed ? values[entry] & 1u : 0;
        uint32_t magnitude = (matrix->is_signed ? values[entry] >> 1 : values[entry]) + 1u;
        uint8_t above = 0;
        (void)bpzi_model_gap(model, &coder, 1, gaps[entry], 0);
        if (gaps[entry] != 0) model->left_sign = 0;
        bpzi_model_value(model, &coder, 1, &above, &negative, &magnitude);
    }
    return end(&coder, size);
}
