/* record.c - the byte fields of a tensor's record. Every read is preceded by a comparison with `end`. */
#include "record.h"

#include <string.h>

BPZ_STATIC_ASSERT(float_is_binary32, sizeof(float) == 4);
BPZ_STATIC_ASSERT(rank_fits_its_nibble, BPZ_MAX_RANK <= 15);

float bpz_float_at(const uint8_t *bytes) {
    const uint32_t word = (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
                          (uint32_t)bytes[3] << 24;
    float value;
    memcpy(&value, &word, sizeof value);
    return value;
}

int bpz_is_finite(float value) {
    uint32_t word;
    memcpy(&word, &value, sizeof word);
    return (word & 0x7F800000u) != 0x7F800000u;
}

bpz_status bpz_varint_read(const uint8_t *data, size_t *offset, size_t end, uint32_t *value) {
    uint64_t number = 0;
    unsigned shift = 0;
    uint8_t byte;
    do {
        if (*offset >= end) return BPZ_ERROR_TRUNCATED;
        byte = data[(*offset)++];
        number |= (uint64_t)(byte & 0x7Fu) << shift;
        if (number > BPZ_MAX_ELEMENTS) return BPZ_ERROR_CORRUPT;
        if (byte == 0 && shift != 0) return BPZ_ERROR_CORRUPT; /* a longer spelling than needed */
        shift += 7u;
    } while ((byte & 0x80u) != 0 && shift < 35u);
    if ((byte & 0x80u) != 0) return BPZ_ERROR_CORRUPT;
    *value = (uint32_t)number;
    return BPZ_OK;
}

/* Extents, their product, and the matrix view. */
static bpz_status read_shape(bpz_tensor *tensor, const uint8_t *data, size_t *offset, size_t end) {
    uint64_t count = 1;
    uint32_t axis, extent;
    for (axis = 0; axis < tensor->rank; axis++) {
        const bpz_status status = bpz_varint_read(data, offset, end, &extent);
        if (status != BPZ_OK) return status;
        tensor->shape[axis] = extent;
        /* Below 2^31 * 2^31 at every step: a product above the limit is refused unless an extent of 0 follows. */
        count = extent != 0 && count > BPZ_MAX_ELEMENTS ? count : count * extent;
    }
    if (count > BPZ_MAX_ELEMENTS) return BPZ_ERROR_CORRUPT;
    tensor->count = count;
    tensor->rows = count == 0 ? 0 : tensor->rank < 2 ? 1 : tensor->shape[0];
    tensor->columns = count == 0 ? 0 : count / tensor->rows;
    return BPZ_OK;
}

static bpz_status read_grid(bpz_value_map *map, const uint8_t *data, size_t *offset, size_t end, size_t width) {
    uint8_t word[4] = {0, 0, 0, 0};
    if (end - *offset < width) return BPZ_ERROR_TRUNCATED;
    memcpy(word + 4u - width, data + *offset, width);
    if (width == 4 && word[0] == 0 && word[1] == 0) return BPZ_ERROR_CORRUPT; /* the short form serves */
    *offset += width;
    map->kind = BPZ_KIND_GRID;
    map->step = bpz_float_at(word);
    return bpz_is_finite(map->step) && map->step > 0.0f ? BPZ_OK : BPZ_ERROR_CORRUPT;
}

static bpz_status read_codebook(bpz_value_map *map, const uint8_t *data, size_t *offset, size_t end) {
    uint32_t stored, index;
    const bpz_status status = bpz_varint_read(data, offset, end, &stored);
    if (status != BPZ_OK) return status;
    if (stored >= BPZ_MAX_CODEBOOK) return BPZ_ERROR_CORRUPT;
    if ((end - *offset) / 4u < stored) return BPZ_ERROR_TRUNCATED;
    map->kind = BPZ_KIND_CODEBOOK;
    map->codebook = data + *offset;
    map->codebook_count = stored + 1u;
    for (index = 0; index < stored; index++) {
        if (!bpz_is_finite(bpz_float_at(map->codebook + 4u * (size_t)index))) return BPZ_ERROR_CORRUPT;
    }
    *offset += 4u * (size_t)stored;
    return BPZ_OK;
}

bpz_status bpz_record_read(bpz_record *record, bpz_name *name, const uint8_t *data, size_t offset, size_t end) {
    bpz_tensor *tensor = &record->tensor;
    uint32_t number, kind;
    size_t before;
    bpz_status status;

    memset(record, 0, sizeof *record);
    tensor->offset = offset;
    status = bpz_varint_read(data, &offset, end, &number);
    if (status != BPZ_OK) return status;
    if (number > end - offset) return BPZ_ERROR_TRUNCATED;
    end = offset + number;
    tensor->length = end - tensor->offset;

    /* From here on the fields must fit the length that was announced: one that does not is a contradiction
     * inside the file, and still reported as data that end too early. */
    if (end - offset < 2) return BPZ_ERROR_TRUNCATED;
    tensor->rank = data[offset] & 15u;
    kind = data[offset] >> 4;
    if (tensor->rank > BPZ_MAX_RANK || kind > 3) return BPZ_ERROR_CORRUPT;
    offset++;
    record->frame_size = offset - tensor->offset;

    before = offset;
    if (name == NULL) {
        status = bpz_name_skip(data, &offset, end);
    } else {
        status = bpz_name_read(name, data, &offset, end);
        if (status == BPZ_OK) memcpy(tensor->name, name->text, name->length + 1u);
        tensor->name_length = name->length;
    }
    if (status != BPZ_OK) return status;
    record->name_size = offset - before;

    before = offset;
    status = read_shape(tensor, data, &offset, end);
    if (status != BPZ_OK) return status;
    tensor->nonzero = tensor->count;
    if (kind != 0) {
        status = bpz_varint_read(data, &offset, end, &number);
        if (status != BPZ_OK) return status;
        if (number > tensor->count) return BPZ_ERROR_CORRUPT;
        tensor->nonzero = number;
    }
    record->shape_size = offset - before;

    before = offset;
    if (kind == 1 || kind == 3) status = read_grid(&record->map, data, &offset, end, kind == 1 ? 4 : 2);
    if (kind == 2) status = read_codebook(&record->map, data, &offset, end);
    if (status != BPZ_OK) return status;
    record->map_size = offset - before;

    record->payload = data + offset;
    record->payload_size = end - offset;
    if (kind == 0 && record->payload_size / 4u < tensor->count) return BPZ_ERROR_TRUNCATED;
    if (kind == 0 && record->payload_size != 4u * (size_t)tensor->count) return BPZ_ERROR_CORRUPT;
    if (kind != 0 && tensor->nonzero == 0 && record->payload_size != 0) return BPZ_ERROR_CORRUPT;
    return BPZ_OK;
}
