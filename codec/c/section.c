/* section.c - finds the section of a tensor, reads its value map, and turns levels into values.
 *
 * A codebook is not copied: its values are read from the file when a level asks for one. They are checked once, when
 * the map is read. A grid's product is the only floating-point arithmetic of the decoder; all other values are made by
 * their bits (number.h).
 */
#include "section.h"

#include <string.h>

#include "checksum.h"

/* Bytes of a stored value. */
static size_t stored_width(uint32_t storage) {
    return storage == BPZ_STORED_FLOAT32 ? 4u : storage == BPZ_STORED_INT8 ? 1u : 2u;
}

uint32_t bpzi_stored_value(const uint8_t *values, uint32_t storage, size_t index) {
    const uint8_t *const at = values + stored_width(storage) * index;
    switch (storage) {
    case BPZ_STORED_FLOAT32:
        return bpzi_word_at(at);
    case BPZ_STORED_INT8:
        return bpzi_scaled(at[0] >> 7, at[0] < 128u ? at[0] : 256u - at[0], 0);
    case BPZ_STORED_FLOAT16:
        return bpzi_word_of_half((uint32_t)at[0] | (uint32_t)at[1] << 8);
    default:
        return (uint32_t)at[0] << 16 | (uint32_t)at[1] << 24;
    }
}

/* The three value maps. `payload` is the whole content of the section, and each sets `map_size` to the bytes of its
 * map. */
static bpz_status read_grid(bpzi_section *section, int is_short) {
    const uint8_t *const bytes = section->payload;
    uint32_t word;
    section->map_size = is_short ? 2 : 4;
    if (section->payload_size < section->map_size) return BPZ_ERROR_TRUNCATED;
    word = is_short ? (uint32_t)bytes[0] << 16 | (uint32_t)bytes[1] << 24 : bpzi_word_at(bytes);
    if (!is_short && (word & 0xFFFFu) == 0) return BPZ_ERROR_CORRUPT; /* GRID_SHORT would hold it */
    section->map.kind = BPZ_KIND_GRID;
    section->map.step = bpzi_float_of(word);
    /* Positive: sign clear, and not zero. */
    return bpzi_is_finite(word) && word != 0 && word >> 31 == 0 ? BPZ_OK : BPZ_ERROR_CORRUPT;
}

static bpz_status read_codebook(bpzi_section *section, int is_short) {
    bpz_value_map *const map = &section->map;
    uint64_t stored_count;
    size_t offset = 0, index;
    const bpz_status status = bpzi_varint_read(section->payload, &offset, section->payload_size, &stored_count);
    if (status != BPZ_OK) return status;
    if (stored_count >= BPZ_MAX_CODEBOOK) return BPZ_ERROR_CORRUPT;
    map->kind = BPZ_KIND_CODEBOOK;
    map->storage = is_short ? BPZ_STORED_BFLOAT16 : BPZ_STORED_FLOAT32;
    if ((section->payload_size - offset) / stored_width(map->storage) < stored_count) return BPZ_ERROR_TRUNCATED;
    map->codebook = section->payload + offset;
    map->codebook_count = (uint32_t)stored_count + 1u;
    for (index = 0; index < stored_count; index++) {
        if (!bpzi_is_finite(bpzi_stored_value(map->codebook, map->storage, index))) return BPZ_ERROR_CORRUPT;
    }
    section->map_size = offset + (size_t)stored_count * stored_width(map->storage);
    return BPZ_OK;
}

static bpz_status read_minifloat(bpzi_section *section) {
    bpz_value_map *const map = &section->map;
    section->map_size = 2;
    if (section->payload_size < 2) return BPZ_ERROR_TRUNCATED;
    map->kind = BPZ_KIND_MINIFLOAT;
    map->exponent_bits = section->payload[0] >> 4;
    map->mantissa_bits = section->payload[0] & 15u;
    map->unit = (int32_t)section->payload[1] - 149;
    if (map->exponent_bits == 0) return BPZ_ERROR_CORRUPT;
    /* The largest magnitude is below 2^(unit + mantissa_bits + 2^exponent_bits - 1), which must not exceed 2^128. This
     * rejects 9 and more exponent bits too, whatever the unit. */
    return map->unit + (int32_t)map->mantissa_bits + (1 << map->exponent_bits) - 1 <= 128 ? BPZ_OK : BPZ_ERROR_CORRUPT;
}

/* The bytes of the section within the window, without its checksum, which must match. */
static bpz_status find_section(const bpz_file *file, const bpz_tensor *tensor, uint32_t *table, const uint8_t **bytes,
                               size_t *size) {
    /* For a section before the window this wraps around to a number beyond the size of any window. */
    const uint64_t from = tensor->section_offset - file->window_offset;
    if (from > file->window_size || tensor->section_size > file->window_size - from) return BPZ_ERROR_ARGUMENT;
    *bytes = file->window + from;
    *size = (size_t)tensor->section_size;
    if (file->is_seekable) {
        *size -= BPZ_CHECKSUM_BYTES;
        if (!bpzi_checksum_matches(*bytes, *size, table)) return BPZ_ERROR_CHECKSUM;
    }
    return BPZ_OK;
}

bpz_status bpzi_section_read(bpzi_section *section, const bpz_file *file, const bpz_tensor *tensor, uint32_t *table) {
    bpz_status status;
    memset(section, 0, sizeof *section);
    status = find_section(file, tensor, table, &section->payload, &section->payload_size);
    if (status != BPZ_OK) return status;
    if (bpzi_kind_is_raw(tensor->kind)) {
        section->map.storage = tensor->kind; /* the numbers are the same */
        return BPZ_OK;
    }
    switch (tensor->kind) {
    case BPZ_STORED_GRID:
        status = read_grid(section, 0);
        break;
    case BPZ_STORED_GRID_SHORT:
        status = read_grid(section, 1);
        break;
    case BPZ_STORED_CODEBOOK:
        status = read_codebook(section, 0);
        break;
    case BPZ_STORED_CODEBOOK_SHORT:
        status = read_codebook(section, 1);
        break;
    default:
        status = read_minifloat(section);
        break;
    }
    if (status != BPZ_OK) return status;
    section->payload += section->map_size;
    section->payload_size -= section->map_size;
    return tensor->nonzero == 0 && section->payload_size != 0 ? BPZ_ERROR_CORRUPT : BPZ_OK;
}

/* The value of a minifloat's level: exact, as bpzi_scaled requires. */
static bpz_status minifloat_of(const bpz_value_map *map, int32_t level, uint32_t *word) {
    const uint32_t negative = level < 0, magnitude = negative ? 0u - (uint32_t)level : (uint32_t)level;
    const uint32_t exponent = magnitude >> map->mantissa_bits;
    const uint32_t mantissa = magnitude & ((1u << map->mantissa_bits) - 1u);
    if (magnitude >> (map->exponent_bits + map->mantissa_bits) != 0) return BPZ_ERROR_CORRUPT;
    *word = exponent == 0
                ? bpzi_scaled(negative, mantissa, map->unit)
                : bpzi_scaled(negative, mantissa | 1u << map->mantissa_bits, map->unit + (int32_t)exponent - 1);
    return BPZ_OK;
}

bpz_status bpzi_value_of(const bpz_value_map *map, int32_t level, uint32_t *word) {
    if (map->kind == BPZ_KIND_GRID) {
        *word = bpzi_word_of((float)level * map->step);
        return bpzi_is_finite(*word) ? BPZ_OK : BPZ_ERROR_CORRUPT;
    }
    if (map->kind == BPZ_KIND_MINIFLOAT) return minifloat_of(map, level, word);
    /* As an unsigned number a negative level is above every count. */
    if ((uint32_t)level >= map->codebook_count) return BPZ_ERROR_CORRUPT;
    *word = level == 0 ? 0 : bpzi_stored_value(map->codebook, map->storage, (size_t)level - 1u);
    return BPZ_OK;
}

bpz_status bpz_level_value(const bpz_value_map *map, int32_t level, float *value) {
    uint32_t word;
    bpz_status status;
    if (map == NULL || value == NULL || map->kind == BPZ_KIND_RAW) return BPZ_ERROR_ARGUMENT;
    status = bpzi_value_of(map, level, &word);
    if (status == BPZ_OK) *value = bpzi_float_of(word);
    return status;
}
