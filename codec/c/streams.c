/* streams.c - Exp-Golomb codes, canonical Huffman codes and the description of a stream. */
#include "bpz_internal.h"

uint32_t bpz_bits_golomb(bpz_bits *bits, uint32_t order)
{
    uint32_t zeros = 0;
    uint64_t value;
    while (bpz_bits_read(bits, 1) == 0) {
        if (bits->failed || ++zeros + order > BPZ_MAX_GOLOMB_BITS) {
            bits->failed = 1;
            return 0;
        }
    }
    value = ((((uint64_t)1 << zeros) - 1) << order) + bpz_bits_read(bits, zeros + order);
    if (value > 0xffffffffu) {
        bits->failed = 1;
    }
    return bits->failed ? 0 : (uint32_t)value;
}

int bpz_first_codes(const uint32_t counts[BPZ_MAX_CODE_LENGTH + 1], uint32_t first[BPZ_MAX_CODE_LENGTH + 1])
{
    uint32_t code = 0, length;
    first[0] = 0;
    for (length = 1; length <= BPZ_MAX_CODE_LENGTH; length++) {
        code <<= 1;
        first[length] = code;
        code += counts[length];
        if (code > (uint32_t)1 << length) {
            return 0; /* over-full */
        }
    }
    return code == (uint32_t)1 << BPZ_MAX_CODE_LENGTH; /* else incomplete */
}

uint32_t bpz_reverse(uint32_t code, uint32_t length)
{
    uint32_t reversed = 0;
    while (length--) {
        reversed = reversed << 1 | (code & 1u);
        code >>= 1;
    }
    return reversed;
}

bpz_status bpz_build_table(const uint8_t *lengths, uint32_t alphabet, uint16_t table[BPZ_TABLE_SIZE])
{
    uint32_t counts[BPZ_MAX_CODE_LENGTH + 1] = {0}, next[BPZ_MAX_CODE_LENGTH + 1], symbol, slot;
    for (symbol = 0; symbol < alphabet; symbol++) {
        if (lengths[symbol] != 0) {
            counts[lengths[symbol]]++;
        }
    }
    if (!bpz_first_codes(counts, next)) {
        return BPZ_ERROR_CORRUPT;
    }
    for (symbol = 0; symbol < alphabet; symbol++) {
        const uint32_t length = lengths[symbol];
        if (length == 0) {
            continue;
        }
        /* Every index whose low `length` bits are the code: a complete code fills the whole table. */
        for (slot = bpz_reverse(next[length]++, length); slot < BPZ_TABLE_SIZE; slot += (uint32_t)1 << length) {
            table[slot] = (uint16_t)(symbol << 4 | length);
        }
    }
    return BPZ_OK;
}

/* Code lengths, each relative to the last one that was not 0; see FORMAT.md, "Code lengths". */
static bpz_status read_lengths(bpz_bits *bits, uint8_t *lengths, uint32_t alphabet)
{
    uint32_t symbol;
    int32_t previous = (int32_t)bpz_bits_read(bits, 4);
    for (symbol = 0; symbol < alphabet; symbol++) {
        const uint32_t code = bpz_bits_golomb(bits, 0);
        if (bits->failed) {
            return BPZ_ERROR_TRUNCATED;
        }
        if (code == 3) {
            lengths[symbol] = 0;
            continue;
        }
        /* 0, 1, 2, 4, 5, 6, 7 ... stand for +0, +1, -1, +2, -2, +3, -3 ... */
        if (code > 2 * BPZ_MAX_CODE_LENGTH + 1) {
            return BPZ_ERROR_CORRUPT;
        }
        if (code < 3) {
            previous += code == 2 ? -1 : (int32_t)code;
        } else {
            previous += code & 1u ? -(int32_t)((code - 1) / 2) : (int32_t)(code / 2);
        }
        if (previous < 1 || previous > (int32_t)BPZ_MAX_CODE_LENGTH) {
            return BPZ_ERROR_CORRUPT;
        }
        lengths[symbol] = (uint8_t)previous;
    }
    return BPZ_OK;
}

bpz_status bpz_stream_open(bpz_stream *stream, bpz_bits *bits, uint16_t *table, uint8_t *lengths)
{
    bpz_status status = BPZ_OK;
    stream->mode = bpz_bits_read(bits, 2);
    stream->parameter = 0;
    stream->table = table;
    switch (stream->mode) {
    case BPZ_STREAM_CONSTANT:
        stream->parameter = bpz_bits_golomb(bits, 0);
        break;
    case BPZ_STREAM_FIXED:
        stream->parameter = bpz_bits_read(bits, 5) + 1;
        break;
    case BPZ_STREAM_HUFFMAN: {
        const uint32_t alphabet = bpz_bits_golomb(bits, 4);
        if (bits->failed) {
            return BPZ_ERROR_TRUNCATED;
        }
        if (alphabet < 2 || alphabet > BPZ_MAX_ALPHABET) {
            return BPZ_ERROR_CORRUPT;
        }
        status = read_lengths(bits, lengths, alphabet);
        if (status == BPZ_OK) {
            status = bpz_build_table(lengths, alphabet, table);
        }
        break;
    }
    default:
        stream->parameter = bpz_bits_read(bits, 4);
        break;
    }
    if (status == BPZ_OK && bits->failed) {
        status = BPZ_ERROR_TRUNCATED;
    }
    return status;
}
