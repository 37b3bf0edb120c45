/* bits.h - private: the bit reader (FORMAT.md, section 2.4).
 *
 * All bit streams of a file but the range-coded one are read through it. It never reads outside its bytes, whatever the
 * file says: each read first compares with what is held, and fails with BPZ_ERROR_TRUNCATED when the stream is too
 * short.
 *
 * How it works. Bytes are collected in a window of 64 bits, at the top of which the next bit of the stream stands. So a
 * field of n bits is the window shifted right by 64 - n, and reading it is a shift to the left. Taking bytes is
 * separate from reading bits: one fill serves several short reads, and a Huffman decoder may look at more bits than it
 * takes.
 *
 * Variables   next, end   the bytes that are not in the window yet: next <= end
 *             window      the bits that were taken and not read yet, from bit 63 downwards
 *             held        the number of these bits
 *
 * Invariants  0 <= held <= 64.
 *             The lowest 64 - held bits of the window are 0. So a look past the end of the stream sees zeros, and fill
 *             can add bytes with an OR.
 *             No byte at or after `end` is read.
 *             After bpzi_bits_fill, held >= BPZ_BITS_FILLED or every byte is in the window. So when a read still finds
 *             too few bits after a fill, the stream has ended.
 *
 * A bpzi_bits is a plain value: copying it saves a place in the stream. Masks use this (mask.h), and the fast decoder
 * (decode_fast.c), which gives up an entry by dropping a copy.
 */
#ifndef BPZ_BITS_H
#define BPZ_BITS_H

#include <stddef.h>
#include <stdint.h>

#include "bpz.h"

/* An array of -1 elements stops the compilation: C99 has no static assertion of its own. */
#define BPZ_STATIC_ASSERT(name, condition) typedef char bpzi_static_assert_##name[(condition) ? 1 : -1]

/* A fill adds whole bytes while one fits: it stops at 57 bits or more, since 56 bits leave room for another byte. */
#define BPZ_BITS_FILLED   57u
#define BPZ_BITS_READ_MAX 32u

/* bpzi_bits_read fills once and never loops. */
BPZ_STATIC_ASSERT(one_fill_serves_one_read, BPZ_BITS_READ_MAX <= BPZ_BITS_FILLED);

typedef struct bpzi_bits {
    const uint8_t *next;
    const uint8_t *end;
    uint64_t window;
    unsigned held;
} bpzi_bits;

/* A reader at the first bit of `size` bytes. */
static inline bpzi_bits bpzi_bits_at(const uint8_t *data, size_t size) {
    bpzi_bits bits;
    bits.next = data;
    bits.end = data + size;
    bits.window = 0;
    bits.held = 0;
    return bits;
}

/* Take bytes into the window, one at a time: loads of a word would read past `end`, or need a second loop for the last
 * bytes. The decoders that are worth more care refill for themselves (decode_fast.c). */
static inline void bpzi_bits_fill(bpzi_bits *bits) {
    while (bits->held < BPZ_BITS_FILLED && bits->next != bits->end) {
        bits->window |= (uint64_t)*bits->next++ << (56u - bits->held);
        bits->held += 8u;
    }
}

/* The number of bits that were not read yet. */
static inline uint64_t bpzi_bits_left(const bpzi_bits *bits) {
    return (uint64_t)(bits->end - bits->next) * 8u + bits->held;
}

/* Remove `count` bits from the window, which must hold them; count <= BPZ_BITS_READ_MAX. */
static inline void bpzi_bits_drop(bpzi_bits *bits, unsigned count) {
    bits->window <<= count;
    bits->held -= count;
}

/* Read a field of `count` bits, 0 to BPZ_BITS_READ_MAX. BPZ_ERROR_TRUNCATED, and `*value` unchanged, when the stream
 * has fewer. */
static inline bpz_status bpzi_bits_read(bpzi_bits *bits, unsigned count, uint32_t *value) {
    if (bits->held < count) {
        bpzi_bits_fill(bits);
        if (bits->held < count) return BPZ_ERROR_TRUNCATED;
    }
    /* Two shifts, because a shift by 64 would be undefined for count == 0. */
    *value = (uint32_t)((bits->window >> 1) >> (63u - count));
    bpzi_bits_drop(bits, count);
    return BPZ_OK;
}

/* Read an exponential Golomb number of an order from 0 to 31 (FORMAT.md, section 2.5). BPZ_ERROR_CORRUPT for a number
 * above 2^32 - 1. */
bpz_status bpzi_bits_golomb(bpzi_bits *bits, unsigned order, uint32_t *value);

#endif /* BPZ_BITS_H */
