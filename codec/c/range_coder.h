/* range_coder.h - private: a binary range coder of 64 bits (FORMAT.md, section 9.2), for decoding and encoding.
 *
 * Why one file for both. The model (adaptive_model.h) follows the bits that were coded, so decoder and encoder must go
 * through exactly the same states. Here they run the same code: each function has a parameter `encoding`, which is a
 * constant at each call, and the compiler keeps one half. A change cannot reach one side alone.
 *
 * How it works. The bits so far have narrowed an interval of numbers down to a width of `range`. Each further bit cuts
 * it in two parts, in proportion to the probability of a 1, and keeps one of them. An encoder tracks the lower end,
 * `low`, and writes any number of the last interval. A decoder tracks the distance of this number from the lower end,
 * `offset`, and a comparison with the cut says which part was kept. A narrow interval is multiplied by 2^32
 * (renormalisation): the encoder's upper four bytes of `low` are final then, but for a carry, and the decoder appends
 * four bytes to `offset`.
 *
 * Variables   range           width of the interval
 *             offset          decoding: distance of the stream's number from the lower end, 64 bits of it
 *             low             encoding: the lower end, without the bytes that were shifted out
 *             shifted_bytes   bytes that renormalisation has shifted out of `low` or into `offset`: 4 for each
 *             next, end       decoding: the bytes that were not taken yet
 *             out, capacity   encoding: where bytes go, and how many fit; bytes past the capacity are counted only
 *
 * Invariants  range >= 2^32 between calls, so that (range >> 16) * probability is at least 2^16 and never 0.
 *             Decoding: offset < range between calls. Whatever the bits of a file are, each call takes a bounded number
 *             of steps. No byte at or after `end` is read; after it the stream is zeros.
 */
#ifndef BPZ_RANGE_CODER_H
#define BPZ_RANGE_CODER_H

#include "bits.h"

/* Bits of equal probability that one call codes. A range of 2^32 or more, halved so often, is still 2^16 or more: no
 * bit has an empty half, and one renormalisation is enough. */
#define BPZ_PLAIN_BITS 16u

BPZ_STATIC_ASSERT(plain_bits_leave_a_range, BPZ_PLAIN_BITS < 32u);

typedef struct bpzi_coder {
    uint64_t range, offset, low;
    const uint8_t *next, *end;
    uint8_t *out;
    size_t capacity;
    uint64_t shifted_bytes;
} bpzi_coder;

/* Decoding: append four bytes of the stream to `offset`. */
static inline void bpzi_coder_take(bpzi_coder *coder) {
    if (coder->end - coder->next >= 4) {
        coder->offset = coder->offset << 32 | (uint32_t)coder->next[0] << 24 | (uint32_t)coder->next[1] << 16 |
                        (uint32_t)coder->next[2] << 8 | coder->next[3];
        coder->next += 4;
    } else {
        unsigned byte;
        for (byte = 0; byte < 4; byte++) {
            coder->offset = coder->offset << 8 | (coder->next != coder->end ? *coder->next++ : 0u);
        }
    }
}

/* Start to decode a stream of `size` bytes; 0 is a stream of zeros. */
static inline void bpzi_coder_begin_decoding(bpzi_coder *coder, const uint8_t *data, size_t size) {
    coder->range = UINT64_MAX;
    coder->offset = 0;
    coder->low = 0;
    coder->next = data;
    coder->end = data + size;
    coder->out = NULL;
    coder->capacity = 0;
    coder->shifted_bytes = 0;
    bpzi_coder_take(coder);
    bpzi_coder_take(coder);
    /* The width 2^64 - 1 has no place for eight bytes FF: they stand for the last place. */
    if (coder->offset == UINT64_MAX) coder->offset--;
}

/* Start to encode into `out`. */
static inline void bpzi_coder_begin_encoding(bpzi_coder *coder, uint8_t *out, size_t capacity) {
    bpzi_coder_begin_decoding(coder, out, 0);
    coder->out = out;
    coder->capacity = capacity;
}

/* Encoding: raise the lower end. A carry out of `low` runs back through the bytes that were shifted out: a byte FF
 * becomes 0 and passes it on. No carry leaves the first byte: all intervals lie within the first one, [0, 2^64 - 1). */
static inline void bpzi_coder_raise_low(bpzi_coder *coder, uint64_t amount) {
    coder->low += amount;
    if (coder->low < amount) {
        uint64_t byte = coder->shifted_bytes;
        while (byte != 0 && (--byte >= coder->capacity || ++coder->out[byte] == 0)) {}
    }
}

/* Widen an interval of less than 2^32. Once is enough: one bit, or BPZ_PLAIN_BITS plain ones, leave at
 * least 2^16 of a range of 2^32. */
static inline void bpzi_coder_renormalise(bpzi_coder *coder, int encoding) {
    if (coder->range >> 32 != 0) return;
    coder->range <<= 32;
    if (encoding) {
        unsigned byte;
        for (byte = 0; byte < 4; byte++, coder->shifted_bytes++, coder->low <<= 8) {
            if (coder->shifted_bytes < coder->capacity) coder->out[coder->shifted_bytes] = (uint8_t)(coder->low >> 56);
        }
    } else {
        coder->shifted_bytes += 4u;
        bpzi_coder_take(coder);
    }
}

/* Code one bit that is 1 with probability / 65536, 1 to 65535. Returns the bit; `bit` is for encoding. */
static inline uint32_t bpzi_coder_bit(bpzi_coder *coder, int encoding, uint32_t probability, uint32_t bit) {
    const uint64_t bound = (coder->range >> 16) * probability;
    if (!encoding) bit = coder->offset < bound;
    if (bit) {
        coder->range = bound;
    } else {
        coder->range -= bound;
        if (encoding) {
            bpzi_coder_raise_low(coder, bound);
        } else {
            coder->offset -= bound;
        }
    }
    bpzi_coder_renormalise(coder, encoding);
    return bit;
}

/* What bpzi_coder_plain returns for a stream that leaves the interval. As part of a gap it is larger than any matrix,
 * so that the caller's comparison with the positions that are left rejects it. */
#define BPZ_NO_NUMBER UINT64_MAX

/* Code `count` bits of equal probability, at most BPZ_PLAIN_BITS, the highest first. Returns the number that they make.
 *
 * Halving an odd range leaves its last place to neither half. No encoder writes a stream that points there, and after
 * one `offset` would not be below `range`. Once it is not, further halvings leave it so: one comparison after the last
 * bit finds it. */
static inline uint64_t bpzi_coder_plain(bpzi_coder *coder, int encoding, unsigned count, uint32_t number) {
    uint32_t coded = 0;
    while (count-- != 0) {
        uint32_t bit;
        coder->range >>= 1;
        bit = encoding ? number >> count & 1u : coder->offset >= coder->range;
        if (encoding) {
            if (bit) bpzi_coder_raise_low(coder, coder->range);
        } else {
            coder->offset -= coder->range & (0u - (uint64_t)bit); /* without a branch: the bit is unpredictable */
        }
        coded = coded << 1 | bit;
    }
    if (!encoding && coder->offset >= coder->range) return BPZ_NO_NUMBER;
    bpzi_coder_renormalise(coder, encoding);
    return coded;
}

/* Bits of the stream that have been used so far, rounded up: what was shifted, and what has narrowed the range. */
static inline uint64_t bpzi_coder_bits_used(const bpzi_coder *coder) {
    uint64_t width = coder->range, bits = coder->shifted_bytes * 8u;
    for (; width >> 63 == 0; width <<= 1) bits++;
    return bits;
}

#endif /* BPZ_RANGE_CODER_H */
