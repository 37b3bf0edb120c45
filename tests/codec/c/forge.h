/* forge.h - makes files for comparing readers: built field by field, with a valid structure and extreme values, or
 * valid files with changes. Checksums and sizes of sections match, so that what comes after them is reached.
 *
 * It shares nothing with the decoder or the encoder. A file is kept in parts until it is sealed, so that a change of
 * one part leaves the others in their places.
 */
#ifndef FORGE_H
#define FORGE_H

#include <stdint.h>
#include <string.h>

#define FORGE_CAPACITY 8192u /* bytes of a part */
#define FORGE_TENSORS  6u

typedef struct forge_bytes {
    uint8_t at[FORGE_CAPACITY];
    size_t size;
    unsigned bits; /* bits of the last byte that are in use; 0 means all */
} forge_bytes;

typedef struct forge_tensor {
    forge_bytes head; /* the directory entry without content_size */
    forge_bytes section;
    int is_raw; /* the entry stores no content_size */
} forge_tensor;

typedef struct forge_file {
    forge_tensor tensors[FORGE_TENSORS];
    unsigned count;
    int is_seekable;
} forge_file;

/* Random numbers: splitmix64 (Steele, Lea and Flood 2014). */
static uint64_t forge_state;

static uint64_t any64(void) {
    uint64_t z = forge_state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

/* A number from 0 to below - 1. */
static uint32_t any(uint32_t below) { return (uint32_t)((any64() >> 32) * below >> 32); }

/* True once in `of` times on average. */
static int one_in(uint32_t of) { return any(of) == 0; }

/* Half of the built files have only values that a writer could write; in the others this is set, and anything can
 * occur. */
static int forge_is_wild;

static int odd_one_in(uint32_t of) { return forge_is_wild && one_in(of); }

/* A power of two up to 2^bits, or a number next to it. */
static uint64_t extreme(unsigned bits) {
    const uint64_t power = (uint64_t)1 << any(bits + 1u);
    return power - 1u + any(3);
}

static void put_byte(forge_bytes *part, uint32_t byte) {
    if (part->size < FORGE_CAPACITY) part->at[part->size++] = (uint8_t)byte;
}

static void put_little(forge_bytes *part, uint32_t word, unsigned bytes) {
    for (; bytes != 0; bytes--, word >>= 8) put_byte(part, word & 255u);
}

static void put_varint(forge_bytes *part, uint64_t number) {
    for (; number >= 0x80; number >>= 7) put_byte(part, (uint32_t)(number & 0x7Fu) | 0x80u);
    put_byte(part, (uint32_t)number);
}

static void put_bits(forge_bytes *part, uint64_t number, unsigned width) {
    while (width-- != 0) {
        if (part->bits == 0) put_byte(part, 0);
        if (number >> width & 1u) part->at[part->size - 1u] |= (uint8_t)(0x80u >> part->bits);
        part->bits = (part->bits + 1u) % 8u;
    }
}

static void put_golomb(forge_bytes *part, uint64_t number, unsigned order) {
    unsigned zeros = 0;
    while ((((uint64_t)2 << zeros) - 1u) << order <= number) zeros++;
    put_bits(part, 0, zeros);
    put_bits(part, 1, 1);
    put_bits(part, number - ((((uint64_t)1 << zeros) - 1u) << order), zeros + order);
}

static uint32_t forge_crc(const uint8_t *data, size_t size) {
    static uint32_t table[256];
    uint32_t crc = ~(uint32_t)0, byte, bit;
    if (table[1] == 0) {
        for (byte = 0; byte < 256u; byte++) {
            table[byte] = byte;
            for (bit = 0; bit < 8; bit++) table[byte] = table[byte] >> 1 ^ (table[byte] & 1u ? 0xEDB88320u : 0);
        }
    }
    for (; size != 0; size--) crc = crc >> 8 ^ table[(crc ^ *data++) & 255u];
    return ~crc;
}

/* --- Directory entries --- */

/* A name as the difference to the name before; mostly a letter by `index`, which no other name has. */
static void forge_name(forge_bytes *head, unsigned index) {
    static const char *const others[] = {"\xC3\xA4", "\xE2\x82\xAC", "\xF0\x9F\x98\x80", "\x7F", "a\1", "a\2b", "\5",
                                         " "};
    const char *text = others[any(8)];
    size_t length = strlen(text);
    if (!odd_one_in(4)) {
        put_byte(head, 1);
        put_byte(head, 'a' + index);
        return;
    }
    if (one_in(4)) { /* long */
        const uint32_t stored = 15u + any(270);
        uint32_t left = stored;
        put_byte(head, 15);
        put_varint(head, stored - 15u);
        for (; left != 0; left--) put_byte(head, 'a' + index);
        return;
    }
    put_byte(head, (index != 0 && one_in(2) ? any(4) : 0) << 4 | (uint32_t)(length + 1u));
    for (; length != 0; length--) put_byte(head, (uint8_t)*text++);
    put_byte(head, 'a' + index);
}

typedef struct forge_shape {
    uint64_t rows, columns, count, nonzero;
} forge_shape;

static forge_shape forge_extents(forge_bytes *head, unsigned rank) {
    forge_shape shape = {1, 1, 1, 0};
    unsigned axis;
    const int is_large = odd_one_in(12);
    for (axis = 0; axis < rank; axis++) {
        uint64_t extent = 1u + any(rank == 1 ? 40 : rank == 2 ? 9 : 4);
        if (is_large) extent = one_in(2) ? extreme(rank < 3 ? 48 / rank : 20) : extent;
        if (one_in(30)) extent = 0;
        put_varint(head, extent);
        shape.count *= extent;
        if (axis == 0 && rank > 1) {
            shape.rows = extent;
        } else {
            shape.columns *= extent;
        }
    }
    shape.nonzero = shape.count == 0 ? 0 : 1u + any((uint32_t)(shape.count > 24u ? 24u : shape.count));
    if (odd_one_in(12)) shape.nonzero = one_in(2) ? extreme(6) : shape.count;
    return shape;
}

/* --- Value maps; returns the number of their levels, 0 for many --- */

static uint32_t forge_float(void) {
    static const uint32_t some[] = {0x3F800000u, 0x3DCCCCCDu, 0x00000001u, 0x00800000u, 0x7F7FFFFFu,
                                    0x33D6BF95u, 0x4B7FFFFFu, 0x7F000001u, 0x80000000u, 0xBF000000u,
                                    0x7F800000u, 0x7FC00000u, 0u,          0x00010000u};
    return odd_one_in(12) ? (uint32_t)any64() : some[any(odd_one_in(6) ? 14 : 6)];
}

static uint32_t forge_map(forge_bytes *section, unsigned kind) {
    uint32_t index, count;
    switch (kind) {
    case 4:
        put_little(section, forge_float() | !odd_one_in(10), 4);
        return 0;
    case 5:
        put_little(section, odd_one_in(6) ? forge_float() >> 16 : 0x3F80u - any(60), 2);
        return 0;
    case 6:
    case 7:
        count = one_in(30) ? any(300) : 1u + any(9);
        put_varint(section, count);
        for (index = 0; index < count; index++) {
            uint32_t word = odd_one_in(20) ? forge_float() : 0x3F000000u + any(0x1000000u);
            put_little(section, kind == 6 ? word : word >> 16, kind == 6 ? 4 : 2);
        }
        return count + 1u;
    default:
        index = odd_one_in(20) ? any(16) : 1u + any(6);
        count = one_in(3) ? any(16) : any(4);
        put_byte(section, index << 4 | count);
        put_byte(section, odd_one_in(4) ? 278u - count - (1u << index % 8u) + any(3) : any(150));
        return index + count < 20u ? 1u << (index + count) : 0;
    }
}

/* --- Codes --- */

typedef struct forge_code {
    int is_huffman;
    unsigned raw_bits, count; /* count: symbols that occur */
    uint32_t base;
    uint32_t symbol[16], word[16];
    uint8_t length[16];
} forge_code;

/* A full code of a few symbols: leaves are split until there are enough, all of at most 12 bits. */
static void forge_huffman(forge_bytes *out, forge_code *code) {
    const unsigned wanted = 2u + any(one_in(4) ? 13 : 5);
    const unsigned spread = one_in(6) ? 200 : 2;
    const int is_at_powers = one_in(3);
    unsigned at, next = 0, reference = 3, length;
    uint32_t word = 0;
    code->count = 2;
    code->length[0] = code->length[1] = 1;
    while (code->count < wanted) {
        at = one_in(2) ? 0 : any(code->count);
        if (code->length[at] == 12) continue;
        code->length[code->count++] = ++code->length[at];
    }
    put_bits(out, code->raw_bits, 5);
    for (at = 0; at < code->count; at++) {
        code->symbol[at] = next + any(spread);
        if (is_at_powers && next != 0) {
            for (code->symbol[at] = 1; code->symbol[at] < next;) code->symbol[at] *= 2u;
            if (one_in(2)) code->symbol[at] <<= any(5);
            if (code->symbol[at] > 4095u) code->symbol[at] = next;
        }
        for (; next < code->symbol[at]; next++) put_golomb(out, 1, 0);
        length = code->length[at];
        put_golomb(out,
                   length == reference  ? 0
                   : length > reference ? 2u * (length - reference)
                                        : 2u * (reference - length) + 1u,
                   0);
        reference = length;
        next++;
    }
    for (length = 1; length <= 12; length++) {
        word <<= 1;
        for (at = 0; at < code->count; at++) {
            if (code->length[at] == length) code->word[at] = word++;
        }
    }
}

/* A code of which most numbers are `least` or a little above it. */
static forge_code forge_code_of(forge_bytes *out, uint32_t least) {
    forge_code code;
    memset(&code, 0, sizeof code);
    code.is_huffman = one_in(2);
    put_bits(out, (uint32_t)code.is_huffman, 1);
    if (code.is_huffman) {
        code.raw_bits = odd_one_in(3) ? (one_in(2) ? 20u + any(12) : any(32)) : any(3);
        forge_huffman(out, &code);
    } else {
        code.raw_bits = odd_one_in(6) ? any(34) : any(4);
        code.base = odd_one_in(6) ? (uint32_t)(extreme(31) + extreme(31)) : least + any(2) * any(2);
        put_bits(out, code.raw_bits, 6);
        put_golomb(out, code.base, 0);
    }
    return code;
}

/* A number of the code: two times out of three the least symbol, with raw bits of 0. */
static uint64_t put_number(forge_bytes *out, const forge_code *code, uint32_t below) {
    const unsigned which = one_in(3) ? any(code->count == 0 ? 1 : code->count) : 0;
    const uint64_t all = ((uint64_t)1 << code->raw_bits) - 1u;
    uint64_t raw = one_in(3) ? any64() & all : odd_one_in(16) ? all : 0;
    if (below != 0 && raw >= below && !odd_one_in(16)) raw %= below;
    if (!code->is_huffman) {
        put_bits(out, raw, code->raw_bits);
        return code->base + raw;
    }
    put_bits(out, code->word[which], code->length[which]);
    put_bits(out, raw, code->raw_bits);
    return ((uint64_t)code->symbol[which] << code->raw_bits) + raw;
}

/* --- Bit streams --- */

/* A mask over `extent` indices; returns the number of live ones. */
static uint64_t forge_mask(forge_bytes *out, uint64_t extent) {
    uint64_t live = 0, index;
    if (extent > 64u || !one_in(4)) {
        put_bits(out, odd_one_in(60) ? 3 : 0, 2);
        return extent;
    }
    if (one_in(2)) {
        put_bits(out, 1, 2);
        for (index = 0; index < extent; index++) {
            const uint32_t bit = !one_in(3);
            put_bits(out, bit, 1);
            live += bit;
        }
        return live;
    } else {
        const unsigned order = one_in(8) ? any(8) : any(2);
        uint32_t is_live = any(2);
        put_bits(out, 2, 2);
        put_bits(out, order, 3);
        put_bits(out, is_live, 1);
        for (index = 0; index < extent; is_live = !is_live) {
            uint64_t run = any(5);
            if (run >= extent - index && !odd_one_in(16)) run = extent - index - 1u;
            if (odd_one_in(100)) run = extreme(31);
            put_golomb(out, run, order);
            if (is_live) live += run + 1u;
            index += run + 1u;
        }
        return live;
    }
}

static void forge_adaptive(forge_bytes *out, int is_codebook) {
    static const uint8_t ends[] = {0, 1, 0x7F, 0x80, 0xFE, 0xFF};
    const int by_gap = !one_in(3);
    uint32_t left = one_in(4) ? any(40) : any(10);
    const int is_extreme = odd_one_in(2);
    put_bits(out, is_codebook ? any(8) : any(32), 5);
    put_bits(out, (uint32_t)by_gap, 1);
    if (by_gap) put_bits(out, odd_one_in(2) ? any(32) : any(4), 5);
    if (odd_one_in(60)) put_bits(out, 1, 1);
    out->bits = 0;
    for (; left != 0; left--) put_byte(out, is_extreme ? ends[any(6)] : any(256));
    if (out->size != 0 && out->at[out->size - 1u] == 0 && !odd_one_in(10))
        out->at[out->size - 1u] = (uint8_t)(1u + any(255));
}

/* The index numbers of one gap, of at most `limit` positions. */
static uint64_t put_gap(forge_bytes *out, const forge_code *code, uint64_t filler, uint64_t limit) {
    uint64_t gap = 0, number;
    unsigned most = 6;
    do {
        number = put_number(out, code, limit > 4u ? 4 : 1);
        gap += number;
    } while (number == filler && --most != 0);
    return gap;
}

/* Returns the number of levels that are not 0, as far as it is known. */
static uint64_t forge_stream(forge_bytes *out, forge_shape shape, uint32_t levels) {
    const unsigned layout = any(8) < 3 ? 3 : one_in(2) ? 2 : any(2);
    uint64_t rows, columns, entry, limit, nonzero = 0;
    unsigned p;
    forge_code row_code, index_code, value_code;
    out->bits = 0;
    put_bits(out, layout, 2);
    rows = forge_mask(out, shape.rows);
    columns = forge_mask(out, shape.columns);
    if (layout == 3) {
        forge_adaptive(out, levels != 0);
        return shape.nonzero;
    }
    if (layout == 1) row_code = forge_code_of(out, columns != 0 && rows != 0 ? (uint32_t)(shape.nonzero / rows) : 0);
    if (layout != 0) {
        p = odd_one_in(12) ? any(32) : 1u + any(one_in(3) ? 31 : 4);
        put_bits(out, p, 5);
        index_code = forge_code_of(out, 0);
    }
    value_code = forge_code_of(out, layout == 0 && one_in(2));
    if (layout == 0) {
        for (entry = 0; entry < rows * columns && entry < 600u; entry++)
            nonzero += put_number(out, &value_code, levels) != 0;
    } else if (layout == 1) {
        for (entry = 0; entry < rows && entry < 300u; entry++) {
            uint64_t in_row = put_number(out, &row_code, 4);
            nonzero += in_row;
            if (in_row > 300u) in_row = 300; /* the rest is missing */
            for (limit = columns; in_row != 0 && limit != 0 && out->size < 2000u; in_row--) {
                const uint64_t gap = put_gap(out, &index_code, ((uint64_t)1 << p) - 1u, limit / in_row);
                limit = gap < limit ? limit - gap - 1u : 0;
                (void)put_number(out, &value_code, levels != 0 ? levels - 1u : 0);
            }
        }
    } else {
        limit = rows * columns;
        nonzero = shape.nonzero;
        for (entry = 0; entry < shape.nonzero && entry < 300u && out->size < 2000u; entry++) {
            const uint64_t gap = put_gap(out, &index_code, ((uint64_t)1 << p) - 1u, limit / (shape.nonzero - entry));
            limit = gap < limit ? limit - gap - 1u : 0;
            (void)put_number(out, &value_code, levels != 0 ? levels - 1u : 0);
        }
    }
    if (odd_one_in(25)) put_bits(out, any(2), 1 + any(8));
    out->bits = 0;
    return odd_one_in(20) ? shape.nonzero : nonzero;
}

static void forge_tensor_of(forge_tensor *tensor, unsigned index) {
    const unsigned kind = one_in(12) ? any(4) : odd_one_in(50) ? any(16) : 4u + any(5);
    const unsigned rank = odd_one_in(50) ? any(16) : one_in(6) ? any(5) : 1u + any(2);
    forge_shape shape;
    uint32_t levels;
    tensor->head.size = tensor->section.size = 0;
    tensor->head.bits = tensor->section.bits = 0;
    tensor->is_raw = kind < 4u;
    put_byte(&tensor->head, kind << 4 | rank);
    forge_name(&tensor->head, index);
    shape = forge_extents(&tensor->head, rank);
    if (tensor->is_raw) {
        static const unsigned widths[] = {4, 2, 2, 1};
        const uint64_t size = shape.count * widths[kind];
        while (tensor->section.size < size && tensor->section.size < 400u) {
            put_byte(&tensor->section, odd_one_in(3) ? 0x7Fu + any(2) : any(128));
        }
        return;
    }
    levels = forge_map(&tensor->section, kind);
    if (shape.nonzero != 0) shape.nonzero = forge_stream(&tensor->section, shape, levels);
    put_varint(&tensor->head, shape.nonzero);
}

static void forge_directed(forge_file *file) {
    unsigned index;
    forge_is_wild = (int)any(2);
    file->count = 1u + (one_in(4) ? any(3) : 0);
    file->is_seekable = (int)any(2);
    for (index = 0; index < file->count; index++) forge_tensor_of(&file->tensors[index], index);
}

/* --- Changes of a file --- */

static void change_part(forge_bytes *part) {
    const size_t at = any((uint32_t)part->size + 1u);
    switch (any(8)) {
    case 0:
        if (part->size == FORGE_CAPACITY) break;
        memmove(part->at + at + 1u, part->at + at, part->size++ - at);
        part->at[at] = (uint8_t)any(256);
        break;
    case 1:
        if (at < part->size) memmove(part->at + at, part->at + at + 1u, --part->size - at);
        break;
    case 2:
        if (at < part->size) part->at[at] = (uint8_t)(one_in(2) ? 0xFFu * any(2) : 0x7Fu + any(2));
        break;
    case 3:
        if (at < part->size) part->at[at] = (uint8_t)any(256);
        break;
    default:
        if (at < part->size) part->at[at] ^= (uint8_t)(1u << any(8));
    }
}

static void forge_change(forge_file *file) {
    unsigned changes = 1u + (one_in(2) ? any(4) : 0);
    forge_is_wild = 1;
    if (file->count == 0) return;
    for (; changes != 0; changes--) {
        forge_tensor *const tensor = &file->tensors[any(file->count)];
        change_part(one_in(6) ? &tensor->head : &tensor->section);
    }
    if (one_in(4)) file->is_seekable = !file->is_seekable;
}

/* --- Bytes of a file --- */

static size_t append(uint8_t *out, size_t size, const forge_bytes *part) {
    memcpy(out + size, part->at, part->size);
    return size + part->size;
}

static size_t append_crc(uint8_t *out, size_t size, size_t from) {
    const uint32_t crc = forge_crc(out + from, size - from);
    unsigned byte;
    for (byte = 0; byte < 4; byte++) out[size + byte] = (uint8_t)(crc >> (8u * byte));
    return size + 4u;
}

#define FORGE_FILE_CAPACITY ((2u * FORGE_TENSORS + 1u) * (FORGE_CAPACITY + 16u))

/* Write the file to `out`, of FORGE_FILE_CAPACITY bytes; returns its size. */
static size_t forge_seal(const forge_file *file, uint8_t *out) {
    static forge_bytes entries[FORGE_TENSORS];
    forge_bytes front;
    size_t size = 0, all = 0;
    unsigned index;
    for (index = 0; index < file->count; index++) {
        const forge_tensor *const tensor = &file->tensors[index];
        memcpy(entries[index].at, tensor->head.at, tensor->head.size);
        entries[index].size = tensor->head.size;
        entries[index].bits = 0;
        if (!tensor->is_raw) put_varint(&entries[index], odd_one_in(100) ? extreme(48) : tensor->section.size);
        all += entries[index].size;
    }
    front.size = front.bits = 0;
    put_byte(&front, 'B');
    put_byte(&front, 'P');
    put_byte(&front, 'Z');
    put_byte(&front, 2);
    put_varint(&front, 2u * (odd_one_in(200) ? (uint32_t)extreme(13) : file->count) + (uint32_t)file->is_seekable);
    if (file->is_seekable) put_varint(&front, odd_one_in(200) ? extreme(47) : all);
    size = append(out, size, &front);
    for (index = 0; index < file->count; index++) size = append(out, size, &entries[index]);
    if (file->is_seekable) size = append_crc(out, size, 0);
    for (index = 0; index < file->count; index++) {
        const size_t from = size;
        size = append(out, size, &file->tensors[index].section);
        if (file->is_seekable) size = append_crc(out, size, from);
    }
    if (!file->is_seekable) size = append_crc(out, size, 0);
    return size;
}

#endif /* FORGE_H */
