/* code.c - descriptions of codes, and the table that decodes a canonical Huffman code. */
#include "code.h"

#include <string.h>

#define BPZ_FIRST_REFERENCE 3u /* what the first used symbol's length is told relative to */
#define BPZ_FULL            (1u << BPZ_MAX_CODE_LENGTH)

bpz_status bpzi_bits_golomb(bpzi_bits *bits, unsigned k, uint32_t *value) {
    bpz_status status;
    unsigned zeros = 0;
    uint32_t bit, tail;
    uint64_t number;
    for (;;) {
        status = bpzi_bits_read(bits, 1, &bit);
        if (status != BPZ_OK) return status;
        if (bit) break;
        if (++zeros + k > BPZ_BITS_READ_MAX) return BPZ_ERROR_CORRUPT;
    }
    status = bpzi_bits_read(bits, zeros + k, &tail);
    if (status != BPZ_OK) return status;
    number = ((((uint64_t)1 << zeros) - 1u) << k) + tail;
    if (number > UINT32_MAX) return BPZ_ERROR_CORRUPT;
    *value = (uint32_t)number;
    return BPZ_OK;
}

/* Code lengths up to and including the symbol that makes the code full. An over-full code is refused at the
 * symbol that overflows it, an incomplete one when the alphabet ends; so what is left has one reading. */
static bpz_status read_lengths(bpzi_bits *bits, uint8_t *lengths, uint32_t *symbol_count) {
    uint32_t reference = BPZ_FIRST_REFERENCE, filled = 0, symbol, token;
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
                reference += distance;
            } else if (distance < reference) {
                reference -= distance;
            } else {
                return BPZ_ERROR_CORRUPT;
            }
            if (reference > BPZ_MAX_CODE_LENGTH) return BPZ_ERROR_CORRUPT;
        }
        lengths[symbol] = (uint8_t)reference;
        filled += BPZ_FULL >> reference;
        if (filled > BPZ_FULL) return BPZ_ERROR_CORRUPT;
        if (filled == BPZ_FULL) {
            *symbol_count = symbol + 1u;
            return BPZ_OK;
        }
    }
    return BPZ_ERROR_CORRUPT;
}

/* Canonical codes of one length are consecutive, and shorter ones come first, so the table is filled in runs. */
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
    uint32_t huffman, number;
    bpz_status status = bpzi_bits_read(bits, 1, &huffman);
    if (status != BPZ_OK) return status;
    status = bpzi_bits_read(bits, huffman ? 5 : 6, &number);
    if (status != BPZ_OK) return status;
    if (number > BPZ_BITS_READ_MAX) return BPZ_ERROR_CORRUPT;
    code->raw_bits = number;
    code->table = table;
    code->base = 0;
    code->table_bits = 0;
    code->largest = ((uint64_t)1 << number) - 1u;
    if (!huffman) {
        status = bpzi_bits_golomb(bits, 0, &code->base);
        if (status == BPZ_OK) code->largest += code->base;
        return status;
    }
    status = read_lengths(bits, lengths, &number);
    if (status != BPZ_OK) return status;
    code->table_bits = build_table(table, lengths, number);
    code->largest += (uint64_t)(number - 1u) << code->raw_bits; /* the last symbol occurs */
    return BPZ_OK;
}
