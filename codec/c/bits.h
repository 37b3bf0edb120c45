/* bits.h - private: the bounds-checked bit reader. Bits of a byte come most significant first.
 *
 * Variables   next, end   the bytes not yet taken into the window: next <= end
 *             window      the bits taken and not yet read, from bit 63 downwards; zeros below them
 *             held        how many of them there are
 * Invariants  0 <= held <= 64; the lowest 64 - held bits of window are 0; no byte at or after `end` is touched.
 *             After bpzi_bits_fill either held >= BPZ_BITS_FILLED or every byte is in the window.
 */
#ifndef BPZ_BITS_H
#define BPZ_BITS_H

#include <stddef.h>
#include <stdint.h>

#include "bpz.h"

#define BPZ_STATIC_ASSERT(name, condition) typedef char bpzi_static_assert_##name[(condition) ? 1 : -1]

#define BPZ_BITS_FILLED   57u
#define BPZ_BITS_READ_MAX 32u

BPZ_STATIC_ASSERT(one_fill_serves_one_read, BPZ_BITS_READ_MAX <= BPZ_BITS_FILLED);

typedef struct bpzi_bits {
    const uint8_t *next;
    const uint8_t *end;
    uint64_t window;
    unsigned held;
} bpzi_bits;

static inline bpzi_bits bpzi_bits_at(const uint8_t *data, size_t size) {
    bpzi_bits bits;
    bits.next = data;
    bits.end = data + size;
    bits.window = 0;
    bits.held = 0;
    return bits;
}

static inline void bpzi_bits_fill(bpzi_bits *bits) {
    while (bits->held < BPZ_BITS_FILLED && bits->next != bits->end) {
        bits->window |= (uint64_t)*bits->next++ << (56u - bits->held);
        bits->held += 8u;
    }
}

/* Bits between the reader and the end of its bytes. */
static inline uint64_t bpzi_bits_left(const bpzi_bits *bits) {
    return (uint64_t)(bits->end - bits->next) * 8u + bits->held;
}

/* Forget `count` bits that are held; count <= BPZ_BITS_READ_MAX. */
static inline void bpzi_bits_drop(bpzi_bits *bits, unsigned count) {
    bits->window <<= count;
    bits->held -= count;
}

/* The next `count` bits, 0 to BPZ_BITS_READ_MAX of them, as a number. */
static inline bpz_status bpzi_bits_read(bpzi_bits *bits, unsigned count, uint32_t *value) {
    if (bits->held < count) {
        bpzi_bits_fill(bits);
        if (bits->held < count) return BPZ_ERROR_TRUNCATED;
    }
    /* Two shifts: a shift by 64 would be undefined for count == 0. */
    *value = (uint32_t)((bits->window >> 1) >> (63u - count));
    bpzi_bits_drop(bits, count);
    return BPZ_OK;
}

/* An exponential Golomb number of order k, 0 to 31 (FORMAT.md, section 2.5). */
bpz_status bpzi_bits_golomb(bpzi_bits *bits, unsigned k, uint32_t *value);

#endif /* BPZ_BITS_H */
