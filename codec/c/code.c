/* code.c - descriptions of codes, and the table that decodes a canonical Huffman code (FORMAT.md, sections 2.5 and 7).
 *
 * A Huffman code is checked before its table is built: an over-full code is rejected at the symbol that makes it so, an
 * incomplete one when the alphabet ends. What is left is a full code, whose table has an entry for every content of the
 * next bits. The lengths end by themselves when the code is full, so the file does not store how many symbols there
 * are.
 */
#include "code.h"

#include <string.h>

#define BPZ_FIRST_REFERENCE_LENGTH 3u /* what the first length is stored relative to */
/* Lengths are summed as 2^(BPZ_MAX_CODE_LENGTH - length); a full code comes to exactly this. */
#define BPZ_FULL                   (1u << BPZ_MAX_CODE_LENGTH)

bpz_status bpzi_bits_golomb(bpzi_bits *bits, unsigned order, uint32_t *value) {
    bpz_status status;
    unsigned zeros = 0;
    uint32_t bit, tail;
    uint64_t number;
    for (;;) {
        status = bpzi_bits_read(bits, 1, &bit);
        if (status != BPZ_OK) return status;
        if (bit) break;
        if (++zeros + order > BPZ_BITS_READ_MAX) return BPZ_ERROR_CORRUPT;
    }
    /* At most 32 bits, see above, and so one read. */
    status = bpzi_bits_read(bits, zeros + order, &tail);
    if (status != BPZ_OK) return status;
    number = ((((uint64_t)1 << zeros) - 1u) << order) + tail;
    if (number > UINT32_MAX) return BPZ_ERROR_CORRUPT;
    *value = (uint32_t)number;
    return BPZ_OK;
}

/* Read code lengths up to and including the symbol that makes the code full. */
static bpz_status read_lengths(bpzi_bits *bits, uint8_t *lengths, uint32_t *symbol_count) {
    uint32_t reference_length = BPZ_FIRST_REFERENCE_LENGTH, filled = 0, symbol, token;
    for (symbol = 0; symbol < BPZ_MAX_SYMBOLS; symbol++) {
        const bpz_status status = bpzi_bits_golomb(bits, 0, &token);
        if (status != BPZ_OK) return status;
        if (token == 1) {
            lengths[symbol] = 0;
            continue;
        }
        if (token >= 2) {
            const uint32_t distance = token / 2u;
            if (token % 2u == 0) {
                reference_length += distance;
            } else if (distance < reference_length) {
                reference_length -= distance;
            } else {
                return BPZ_ERROR_CORRUPT;
            }
            if (reference_length > BPZ_MAX_CODE_LENGTH) return BPZ_ERROR_CORRUPT;
        }
        lengths[symbol] = (uint8_t)reference_length;
        filled += BPZ_FULL >> reference_length;
        if (filled > BPZ_FULL) return BPZ_ERROR_CORRUPT;
        if (filled == BPZ_FULL) {
            *symbol_count = symbol + 1u;
            return BPZ_OK;
        }
    }
    return BPZ_ERROR_CORRUPT;
}

/* Fill the table; returns its width in bits.
 *
 * In a table that is indexed by the next bits, a code of `length` bits owns the 2^(longest - length) entries that begin
 * with it. Canonical codes are ascending in the order of length and symbol, so these blocks follow each other without
 * gaps: a start for each length, counted as in a counting sort, is all that is needed, and the codes themselves are
 * never computed. */
static unsigned build_table(uint16_t *table, const uint8_t *lengths, uint32_t symbol_count) {
    uint32_t used[BPZ_MAX_CODE_LENGTH + 1u], start[BPZ_MAX_CODE_LENGTH + 1u];
    uint32_t symbol, position = 0;
    unsigned length, longest = 0;
    memset(used, 0, sizeof used);
    for (symbol = 0; symbol < symbol_count; symbol++) used[lengths[symbol]]++;
    for (length = 1; length <= BPZ_MAX_CODE_LENGTH; length++) {
        if (used[length] != 0) longest = length;
    }
    for (length = 1; length <= longest; length++) {
        start[length] = position;
        position += used[length] << (longest - length);
    }
    for (symbol = 0; symbol < symbol_count; symbol++) {
        uint32_t leaves;
        length = lengths[symbol];
        if (length == 0) continue;
        for (leaves = 1u << (longest - length); leaves != 0; leaves--) {
            table[start[length]++] = (uint16_t)(symbol << BPZ_LENGTH_BITS | length);
        }
    }
    return longest;
}

bpz_status bpzi_code_read(bpzi_code *code, bpzi_bits *bits, uint16_t *table, uint8_t *lengths) {
    uint32_t is_huffman, number;
    bpz_status status = bpzi_bits_read(bits, 1, &is_huffman);
    if (status != BPZ_OK) return status;
    status = bpzi_bits_read(bits, is_huffman ? 5 : 6, &number);
    if (status != BPZ_OK) return status;
    if (number > BPZ_BITS_READ_MAX) return BPZ_ERROR_CORRUPT;
    code->raw_bits = number;
    code->table = table;
    code->base = 0;
    code->table_bits = 0;
    code->largest = ((uint64_t)1 << number) - 1u;
    if (!is_huffman) {
        status = bpzi_bits_golomb(bits, 0, &code->base);
        if (status == BPZ_OK) code->largest += code->base;
        return status;
    }
    status = read_lengths(bits, lengths, &number);
    if (status != BPZ_OK) return status;
    code->table_bits = build_table(table, lengths, number);
    code->largest += (uint64_t)(number - 1u) << code->raw_bits; /* the last symbol has a code */
    return BPZ_OK;
}
