/* bpz_internal.h - what the sources of the codec share. Not installed, not stable. */
#ifndef BPZ_INTERNAL_H
#define BPZ_INTERNAL_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "bpz.h"

/* A typedef whose array has a negative size when the condition is false: C99's static assertion. */
#define BPZ_STATIC_ASSERT(condition, name) typedef char bpz_assert_##name[(condition) ? 1 : -1]

/* ---- limits of version 1 ---- */
#define BPZ_VERSION 1u
#define BPZ_HEADER_SIZE 4u
#define BPZ_CHECKSUM_SIZE 4u
#define BPZ_MAX_CODE_LENGTH 12u
#define BPZ_MAX_ALPHABET 4096u
#define BPZ_MAX_INDEX_BITS 12u
#define BPZ_MAX_GOLOMB_BITS 32u

/* ---- stream modes ---- */
#define BPZ_STREAM_CONSTANT 0u
#define BPZ_STREAM_FIXED 1u
#define BPZ_STREAM_HUFFMAN 2u
#define BPZ_STREAM_GOLOMB 3u

/* ---- mask modes ---- */
#define BPZ_MASK_NONE 0u
#define BPZ_MASK_BITS 1u
#define BPZ_MASK_RUNS 2u

uint32_t bpz_crc32(const uint8_t *data, size_t size);

static inline uint32_t bpz_load_u32(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

static inline float bpz_load_f32(const uint8_t *bytes)
{
    const uint32_t bits = bpz_load_u32(bytes);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Neither infinite nor NaN, told by the bits so that fast-math cannot optimise it away. */
static inline int bpz_is_finite(const uint8_t *bytes)
{
    return (bpz_load_u32(bytes) & 0x7f800000u) != 0x7f800000u;
}

/* ---- bit reader ----
 *
 * Bits come from each byte lowest first. Invariants between calls:
 *   - `held` bits, all below bit 32, sit in the low end of `buffer`, and every bit of `buffer` above them is 0;
 *   - `next` is the first byte not yet in `buffer`, next <= end;
 *   - once `failed` is set it stays set, every read gives 0 and nothing moves.
 * The position in bits is 8 * (next - begin) - held.
 */
typedef struct bpz_bits {
    const uint8_t *begin, *next, *end;
    uint64_t buffer;
    uint32_t held;
    int failed;
} bpz_bits;

static inline void bpz_bits_open(bpz_bits *bits, const uint8_t *data, size_t size)
{
    bits->begin = bits->next = data;
    bits->end = data + size;
    bits->buffer = 0;
    bits->held = 0;
    bits->failed = 0;
}

/* Fill up to at least 32 bits while there are bytes. */
static inline void bpz_bits_fill(bpz_bits *bits)
{
    while (bits->held <= 32 && bits->next < bits->end) {
        bits->buffer |= (uint64_t)*bits->next++ << bits->held;
        bits->held += 8;
    }
}

/* Drop `count` bits that the caller has looked at; fails when they were not all there. */
static inline void bpz_bits_drop(bpz_bits *bits, uint32_t count)
{
    if (count > bits->held) {
        bits->failed = 1;
        bits->buffer = 0;
        bits->held = 0;
        bits->next = bits->end;
        return;
    }
    bits->buffer >>= count;
    bits->held -= count;
}

/* The next `count` bits as a number, count <= 32. */
static inline uint32_t bpz_bits_read(bpz_bits *bits, uint32_t count)
{
    uint32_t value;
    bpz_bits_fill(bits);
    value = (uint32_t)(bits->buffer & (((uint64_t)1 << count) - 1));
    bpz_bits_drop(bits, count);
    return bits->failed ? 0 : value;
}

/* Exp-Golomb code of order k: n zeros, a one, then n + k bits; value = (2^n - 1) * 2^k + those bits.
 * Fails when the value would not fit 32 bits. */
uint32_t bpz_bits_golomb(bpz_bits *bits, uint32_t order);

/* ---- canonical Huffman codes ----
 *
 * An entry of the decoding table is symbol << 4 | length, found by the next 12 bits of the stream. */
#define BPZ_TABLE_SIZE (1u << BPZ_MAX_CODE_LENGTH)
BPZ_STATIC_ASSERT(BPZ_MAX_CODE_LENGTH < 16, code_length_fits_four_bits);
BPZ_STATIC_ASSERT((BPZ_MAX_ALPHABET - 1) <= (0xffffu >> 4), symbol_fits_twelve_bits);

/* First code of each length, lowest first, from the count of codes of each length. Returns 0 unless the code
 * is complete: sum of 2^-length is exactly 1. */
int bpz_first_codes(const uint32_t counts[BPZ_MAX_CODE_LENGTH + 1], uint32_t first[BPZ_MAX_CODE_LENGTH + 1]);

/* `code` of `length` bits with its bits in the other order: the stream's first bit is the code's highest. */
uint32_t bpz_reverse(uint32_t code, uint32_t length);

/* Build the table for `alphabet` symbols of these code lengths (0: absent). BPZ_ERROR_CORRUPT when the code is
 * over-full or incomplete. */
bpz_status bpz_build_table(const uint8_t *lengths, uint32_t alphabet, uint16_t table[BPZ_TABLE_SIZE]);

/* ---- a stream's code ---- */
typedef struct bpz_stream {
    uint32_t mode;
    uint32_t parameter; /* the constant, the width or the order */
    uint16_t *table;    /* of a Huffman stream */
} bpz_stream;

/* Read a stream's description; `table` and `lengths` are where a Huffman code may be built. */
bpz_status bpz_stream_open(bpz_stream *stream, bpz_bits *bits, uint16_t *table, uint8_t *lengths);

/* The next symbol; check bits->failed at the end. */
static inline uint32_t bpz_stream_read(const bpz_stream *stream, bpz_bits *bits)
{
    uint32_t entry;
    switch (stream->mode) {
    case BPZ_STREAM_CONSTANT:
        return stream->parameter;
    case BPZ_STREAM_FIXED:
        return bpz_bits_read(bits, stream->parameter);
    case BPZ_STREAM_HUFFMAN:
        bpz_bits_fill(bits);
        entry = stream->table[bits->buffer & (BPZ_TABLE_SIZE - 1)];
        bpz_bits_drop(bits, entry & 15u);
        return entry >> 4;
    default:
        return bpz_bits_golomb(bits, stream->parameter);
    }
}

/* Scratch of one decoding call. */
typedef struct bpz_workspace {
    uint16_t tables[3][BPZ_TABLE_SIZE];
    uint8_t lengths[BPZ_MAX_ALPHABET];
} bpz_workspace;

#endif /* BPZ_INTERNAL_H */
