/* directory.c - reads directory entries.
 *
 * Sizes and products cannot wrap around: extents are at most 2^48 - 1, their product is compared before each
 * multiplication, and the sum of sections is compared with 2^48 after each entry (container.c).
 */
#include "directory.h"

#include <string.h>

#include "checksum.h"

/* The file has four bits for the rank. */
BPZ_STATIC_ASSERT(rank_fits_its_nibble, BPZ_MAX_RANK <= 15);

/* Read the extents, and compute count, rows and columns. When an extent is 0 the count is 0, but the product of the
 * others is bounded all the same: a reader multiplies them to lay out an array, and would overflow. */
static bpz_status read_shape(bpz_tensor *tensor, const uint8_t *data, size_t *offset, size_t end) {
    uint64_t product = 1; /* of the extents that are not 0 */
    uint32_t axis;
    tensor->count = tensor->rows = tensor->columns = 1;
    for (axis = 0; axis < tensor->rank; axis++) {
        uint64_t extent;
        const bpz_status status = bpzi_varint_read(data, offset, end, &extent);
        if (status != BPZ_OK) return status;
        if (extent != 0 && product > BPZ_MAX_NUMBER / extent) return BPZ_ERROR_CORRUPT;
        product *= extent != 0 ? extent : 1u;
        tensor->shape[axis] = extent;
        tensor->count *= extent;
        if (axis == 0 && tensor->rank > 1) {
            tensor->rows = extent;
        } else {
            tensor->columns *= extent;
        }
    }
    return BPZ_OK;
}

bpz_status bpzi_entry_read(bpz_tensor *tensor, const uint8_t *data, size_t offset, size_t end, int is_seekable) {
    const uint64_t section = tensor->section_offset + tensor->section_size; /* after the section of the entry before */
    uint64_t content_size;
    size_t before;
    bpz_status status;

    if (offset >= end) return BPZ_ERROR_TRUNCATED;
    tensor->rank = data[offset] & 15u;
    tensor->kind = data[offset] >> 4;
    if (tensor->rank > BPZ_MAX_RANK || tensor->kind >= BPZ_STORED_KINDS) return BPZ_ERROR_CORRUPT;
    before = ++offset;
    status = bpzi_name_read(tensor->name, &tensor->name_length, data, &offset, end);
    if (status != BPZ_OK) return status;
    tensor->name_bytes = (uint32_t)(offset - before);

    before = offset;
    status = read_shape(tensor, data, &offset, end);
    if (status != BPZ_OK) return status;
    tensor->nonzero = tensor->count;
    if (!bpzi_kind_is_raw(tensor->kind)) {
        status = bpzi_varint_read(data, &offset, end, &tensor->nonzero);
        if (status != BPZ_OK) return status;
        if (tensor->nonzero > tensor->count) return BPZ_ERROR_CORRUPT;
    }
    tensor->shape_bytes = (uint32_t)(offset - before);

    before = offset;
    if (bpzi_kind_is_raw(tensor->kind)) {
        content_size = tensor->count * bpzi_raw_width(tensor->kind);
    } else {
        status = bpzi_varint_read(data, &offset, end, &content_size);
        if (status != BPZ_OK) return status;
    }
    tensor->frame_bytes = (uint32_t)(1u + (offset - before));
    if (is_seekable) {
        tensor->frame_bytes += BPZ_CHECKSUM_BYTES;
    }
    tensor->section_offset = section;
    tensor->section_size = content_size + (is_seekable ? BPZ_CHECKSUM_BYTES : 0u);
    tensor->next_entry = offset;
    return BPZ_OK;
}

void bpzi_before_first(const bpz_file *file, bpz_tensor *tensor) {
    memset(tensor, 0, sizeof *tensor);
    tensor->index = UINT32_MAX;
    tensor->next_entry = file->first_entry;
    tensor->section_offset = file->first_section;
}

bpz_status bpz_next(const bpz_file *file, bpz_tensor *tensor) {
    if (file == NULL || tensor == NULL || tensor->index + 1u >= file->tensor_count) return BPZ_ERROR_ARGUMENT;
    tensor->index++;
    return bpzi_entry_read(tensor, file->directory, tensor->next_entry, file->directory_size, (int)file->is_seekable);
}
