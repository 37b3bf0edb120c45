/* decode.c - the decoding calls of bpz.h and bpz_levels.h (FORMAT.md, sections 5 and 6).
 *
 * Each call checks its arguments and the room of its outputs, then verifies and reads the section, then decodes.
 * Arguments come first, so that a wrong call never depends on the file, and an output that is too small is reported
 * before a byte is written. Nothing is kept between calls: what one needs is on its stack (under five kilobytes) and in
 * the workspace.
 */
#include <string.h>

#include "decoder.h"

size_t bpz_workspace_size(void) { return sizeof(bpzi_workspace); }

/* Read both masks. All later arithmetic on positions fits 64 bits: live rows times live columns is at most count. */
static bpz_status read_masks(bpzi_decoder *self, uint64_t rows) {
    bpz_status status = bpzi_mask_read(&self->row_mask, &self->bits, rows);
    if (status == BPZ_OK) status = bpzi_mask_read(&self->column_mask_start, &self->bits, self->columns);
    if (status != BPZ_OK) return status;
    return self->nonzero > self->row_mask.live * self->column_mask_start.live ? BPZ_ERROR_CORRUPT : BPZ_OK;
}

/* Read the fields of the adaptive layout (FORMAT.md, section 9.1) up to its padding. */
static bpz_status read_adaptive_head(bpzi_decoder *self) {
    bpz_status status = bpzi_bits_read(&self->bits, BPZ_MEAN_BITS, &self->mean_code);
    if (status == BPZ_OK) status = bpzi_bits_read(&self->bits, 1, &self->is_by_gap);
    if (status == BPZ_OK && self->is_by_gap) status = bpzi_bits_read(&self->bits, 5, &self->gap_bits);
    return status;
}

/* Read the descriptions of the codes, and index_bits, of the other layouts. */
static bpz_status read_codes(bpzi_decoder *self, bpzi_workspace *workspace, uint32_t *index_bits) {
    bpz_status status = BPZ_OK;
    if (self->layout == BPZ_LAYOUT_BY_ROW) {
        status = bpzi_code_read(&self->row_code, &self->bits, workspace->tables.rows, workspace->tables.lengths);
        if (status != BPZ_OK) return status;
    }
    if (self->layout != BPZ_LAYOUT_DENSE) {
        status = bpzi_bits_read(&self->bits, 5, index_bits);
        if (status != BPZ_OK) return status;
        if (*index_bits == 0) return BPZ_ERROR_CORRUPT;
        self->filler = (uint32_t)(((uint64_t)1 << *index_bits) - 1u);
        status = bpzi_code_read(&self->index_code, &self->bits, workspace->tables.indices, workspace->tables.lengths);
        if (status != BPZ_OK) return status;
    }
    return bpzi_code_read(&self->value_code, &self->bits, workspace->tables.values, workspace->tables.lengths);
}

/* Read all fields before the entries. */
static bpz_status read_head(bpzi_decoder *self, uint64_t rows, bpzi_workspace *workspace) {
    const uint64_t start = bpzi_bits_left(&self->bits);
    uint64_t before;
    bpz_bit_usage unused;
    bpz_bit_usage *const bit_usage = self->bit_usage != NULL ? self->bit_usage : &unused;
    bpz_status status = bpzi_bits_read(&self->bits, 2, &self->layout);
    if (status != BPZ_OK) return status;
    before = bpzi_bits_left(&self->bits);
    status = read_masks(self, rows);
    if (status != BPZ_OK) return status;
    bit_usage->masks = before - bpzi_bits_left(&self->bits);
    bit_usage->index_bits = 0;
    status = self->layout == BPZ_LAYOUT_ADAPTIVE ? read_adaptive_head(self)
                                                 : read_codes(self, workspace, &bit_usage->index_bits);
    bit_usage->layout = self->layout + self->is_by_gap;
    bit_usage->tables = start - bpzi_bits_left(&self->bits) - bit_usage->masks;
    return status;
}

/* Decode a bit stream of at least one non-zero into `out`. */
static bpz_status decode_stream(const bpz_tensor *tensor, const bpzi_section *section, const bpzi_output *out,
                                bpzi_workspace *workspace, bpz_bit_usage *bit_usage) {
    bpzi_decoder self;
    bpz_status status;
    memset(&self, 0, sizeof self);
    self.bits = bpzi_bits_at(section->payload, section->payload_size);
    self.out = *out;
    self.columns = tensor->columns;
    self.nonzero = tensor->nonzero;
    self.bit_usage = bit_usage;
    status = read_head(&self, tensor->rows, workspace);
    if (status != BPZ_OK) return status;
    bpzi_mask_begin(&self.row_mask);
    bpzi_next_row(&self, 0);
    if (self.layout == BPZ_LAYOUT_ADAPTIVE) {
        status = bpzi_adaptive_read(&self, section->payload, section->payload_size, workspace);
    } else {
        status = self.layout == BPZ_LAYOUT_DENSE    ? bpzi_dense_read(&self)
                 : self.layout == BPZ_LAYOUT_BY_ROW ? bpzi_by_row_read(&self)
                                                    : bpzi_running_read(&self, workspace->tables.fast);
        if (status == BPZ_OK && bpzi_bits_left(&self.bits) >= 8u) status = BPZ_ERROR_CORRUPT;
        if (status == BPZ_OK) status = bpzi_padding_read(&self);
    }
    if (status == BPZ_OK) bpzi_output_end(&self.out, tensor->rows);
    return status;
}

/* Decode plain values. Levels are asked of them only where the values are integers. */
static bpz_status decode_raw(const bpz_tensor *tensor, const bpzi_section *section, bpz_element element, uint8_t *out) {
    const int is_level = element == BPZ_INT8 || element == BPZ_INT32;
    const unsigned size = bpzi_element_size(element);
    uint64_t index;
    if (is_level && section->map.storage != BPZ_STORED_INT8) return BPZ_ERROR_UNSUPPORTED;
    for (index = 0; index < tensor->count; index++) {
        uint32_t word = bpzi_stored_value(section->payload, section->map.storage, (size_t)index);
        bpz_status status = bpzi_is_finite(word) ? BPZ_OK : BPZ_ERROR_CORRUPT;
        if (status != BPZ_OK) return status;
        if (is_level) {
            word = section->payload[index];
            if (word > 127u) word -= 256u;
        } else {
            status = bpzi_output_float(element, &word);
            if (status != BPZ_OK) return status;
        }
        bpzi_store(out, size, index, word);
    }
    return BPZ_OK;
}

/* The arguments of every call that reads a section. */
static bpz_status check_arguments(const bpz_file *file, const bpz_tensor *tensor, const void *workspace,
                                  size_t workspace_size) {
    if (file == NULL || tensor == NULL) return BPZ_ERROR_ARGUMENT;
    if (workspace == NULL || (uintptr_t)workspace % sizeof(uint64_t) != 0) return BPZ_ERROR_ARGUMENT;
    return workspace_size < sizeof(bpzi_workspace) ? BPZ_ERROR_BUFFER_TOO_SMALL : BPZ_OK;
}

bpz_status bpz_check(const bpz_file *file, const bpz_tensor *tensor, void *workspace, size_t workspace_size) {
    bpzi_section section;
    const bpz_status status = check_arguments(file, tensor, workspace, workspace_size);
    return status == BPZ_OK ? bpzi_section_read(&section, file, tensor, workspace) : status;
}

bpz_status bpz_value_map_of(const bpz_file *file, const bpz_tensor *tensor, bpz_value_map *map, void *workspace,
                            size_t workspace_size) {
    bpzi_section section;
    bpz_status status = map == NULL ? BPZ_ERROR_ARGUMENT : check_arguments(file, tensor, workspace, workspace_size);
    if (status == BPZ_OK) status = bpzi_section_read(&section, file, tensor, workspace);
    if (status == BPZ_OK) *map = section.map;
    return status;
}

/* bpz_decode; `bit_usage` may be NULL. The array is cleared first, and layouts put the non-zeros only. */
static bpz_status decode_dense(const bpz_file *file, const bpz_tensor *tensor, bpz_element element, void *out,
                               size_t out_count, void *workspace, size_t workspace_size, bpz_bit_usage *bit_usage) {
    bpzi_section section;
    bpzi_output to;
    bpz_status status = check_arguments(file, tensor, workspace, workspace_size);
    if (status != BPZ_OK) return status;
    if (out == NULL || element > BPZ_INT32) return BPZ_ERROR_ARGUMENT;
    if ((uintptr_t)out % bpzi_element_size(element) != 0) return BPZ_ERROR_ARGUMENT;
    /* More bytes than the machine can address. A caller who multiplied them may have allocated what was left of the
     * product. */
    if (tensor->count > SIZE_MAX / bpzi_element_size(element)) return BPZ_ERROR_UNSUPPORTED;
    if (out_count < tensor->count) return BPZ_ERROR_BUFFER_TOO_SMALL;
    status = bpzi_section_read(&section, file, tensor, workspace);
    if (status != BPZ_OK) return status;
    if (bit_usage != NULL) bit_usage->map = 8u * (uint64_t)section.map_size;
    if (section.map.kind == BPZ_KIND_RAW) return decode_raw(tensor, &section, element, out);
    memset(out, 0, (size_t)tensor->count * bpzi_element_size(element));
    if (tensor->nonzero == 0) return BPZ_OK;
    memset(&to, 0, sizeof to);
    to.map = &section.map;
    to.element = element;
    to.out = out;
    return decode_stream(tensor, &section, &to, workspace, bit_usage);
}

bpz_status bpz_decode(const bpz_file *file, const bpz_tensor *tensor, bpz_element element, void *out, size_t out_count,
                      void *workspace, size_t workspace_size) {
    return decode_dense(file, tensor, element, out, out_count, workspace, workspace_size, NULL);
}

bpz_status bpz_decode_with_usage(const bpz_file *file, const bpz_tensor *tensor, int32_t *out, size_t out_count,
                                 void *workspace, size_t workspace_size, bpz_bit_usage *bit_usage) {
    if (tensor == NULL || bit_usage == NULL) return BPZ_ERROR_ARGUMENT;
    memset(bit_usage, 0, sizeof *bit_usage);
    bit_usage->frame = 8u * (uint64_t)tensor->frame_bytes;
    bit_usage->name = 8u * (uint64_t)tensor->name_bytes;
    bit_usage->shape = 8u * (uint64_t)tensor->shape_bytes;
    if (bpzi_kind_is_raw(tensor->kind)) {
        bit_usage->values = 8u * tensor->count * bpzi_raw_width(tensor->kind);
        return BPZ_ERROR_UNSUPPORTED;
    }
    return decode_dense(file, tensor, BPZ_INT32, out, out_count, workspace, workspace_size, bit_usage);
}

bpz_status bpz_decode_csr(const bpz_file *file, const bpz_tensor *tensor, bpz_element element, uint32_t *row_pointer,
                          uint32_t *columns, void *values, size_t entries, void *workspace, size_t workspace_size) {
    bpzi_section section;
    bpzi_output to;
    bpz_status status = check_arguments(file, tensor, workspace, workspace_size);
    if (status != BPZ_OK) return status;
    if (row_pointer == NULL || columns == NULL || values == NULL || element > BPZ_INT32 ||
        (uintptr_t)values % bpzi_element_size(element) != 0) {
        return BPZ_ERROR_ARGUMENT;
    }
    if (bpzi_kind_is_raw(tensor->kind) || (tensor->columns > UINT32_MAX && tensor->count != 0) ||
        tensor->nonzero > UINT32_MAX || tensor->rows >= SIZE_MAX / sizeof *row_pointer ||
        tensor->nonzero > SIZE_MAX / sizeof *columns) {
        return BPZ_ERROR_UNSUPPORTED;
    }
    if (entries < tensor->nonzero) return BPZ_ERROR_BUFFER_TOO_SMALL;
    status = bpzi_section_read(&section, file, tensor, workspace);
    if (status != BPZ_OK) return status;
    memset(row_pointer, 0, (size_t)(tensor->rows + 1u) * sizeof *row_pointer);
    if (tensor->nonzero == 0) return BPZ_OK;
    memset(&to, 0, sizeof to);
    to.map = &section.map;
    to.element = element;
    to.out = values;
    to.columns = columns;
    to.row_pointer = row_pointer;
    to.capacity = tensor->nonzero;
    return decode_stream(tensor, &section, &to, workspace, NULL);
}
