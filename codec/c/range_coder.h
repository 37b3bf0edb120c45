/* range_coder.h - private: a binary range coder (FORMAT.md, section 9). Encoder and decoder run the same code, so that
 * they cannot drift apart: `encoding` is a constant at each call, and the compiler keeps one half.
 *
 * Variables   range       width of the interval that the bits so far have narrowed down to
 *             at          decoding: where the stream's next 64 bits lie, from the interval's lower end;
 *                         encoding: the lower end, the bytes that the interval has left behind cut off
 *             passed      bytes that it has left behind
 * Invariants  range >= 2^32; decoding, at < range. Whatever the bits say, each call takes a bounded number of steps,
 *             and no byte at or after `end` is touched: behind it the stream is zeros.
 */
#ifndef BPZ_RANGE_CODER_H
#define BPZ_RANGE_CODER_H

#include "bits.h"

#define BPZ_PLAIN_BITS 16u /* of equal probability that are coded at once */

typedef struct bpzi_coder {
    uint64_t range, at;
    const uint8_t *next, *end; /* decoding */
    uint8_t *out;              /* encoding */
    size_t capacity;
    uint64_t passed;
} bpzi_coder;

/* Four more bytes of the stream. */
static inline void bpzi_coder_take(bpzi_coder *coder) {
    if (coder->end - coder->next >= 4) {
        coder->at = coder->at << 32 | (uint32_t)coder->next[0] << 24 | (uint32_t)coder->next[1] << 16 |
                    (uint32_t)coder->next[2] << 8 | coder->next[3];
        coder->next += 4;
    } else {
        unsigned byte;
        for (byte = 0; byte < 4; byte++) coder->at = coder->at << 8 | (coder->next != coder->end ? *coder->next++ : 0u);
    }
}

static inline void bpzi_coder_decode(bpzi_coder *coder, const uint8_t *data, size_t size) {
    coder->range = UINT64_MAX;
    coder->at = 0;
    coder->next = data;
    coder->end = data + size;
    coder->out = NULL;
    coder->capacity = 0;
    coder->passed = 0;
    bpzi_coder_take(coder);
    bpzi_coder_take(coder);
    /* All ones are no place in the interval: a writer that means the last one stops short of it. */
    if (coder->at == UINT64_MAX) coder->at--;
}

static inline void bpzi_coder_encode(bpzi_coder *coder, uint8_t *out, size_t capacity) {
    bpzi_coder_decode(coder, out, 0);
    coder->out = out;
    coder->capacity = capacity;
}

/* Encoding: the interval's lower end goes up. A carry runs through the bytes that were left behind. */
static inline void bpzi_coder_add(bpzi_coder *coder, uint64_t amount) {
    coder->at += amount;
    if (coder->at < amount) {
        uint64_t byte = coder->passed;
        while (byte != 0 && (--byte >= coder->capacity || ++coder->out[byte] == 0)) {}
    }
}

/* Leave four bytes behind when the interval has become narrow. Bytes past `capacity` are counted only. */
static inline void bpzi_coder_shift(bpzi_coder *coder, int encoding) {
    if (coder->range >> 32 != 0) return;
    coder->range <<= 32;
    if (encoding) {
        unsigned byte;
        for (byte = 0; byte < 4; byte++, coder->passed++, coder->at <<= 8) {
            if (coder->passed < coder->capacity) coder->out[coder->passed] = (uint8_t)(coder->at >> 56);
        }
    } else {
        coder->passed += 4u;
        bpzi_coder_take(coder);
    }
}

/* Code one bit that is a one with probability p / 65536, 0 < p < 65536. */
static inline uint32_t bpzi_coder_bit(bpzi_coder *coder, int encoding, uint32_t p, uint32_t bit) {
    const uint64_t bound = (coder->range >> 16) * p;
    if (!encoding) bit = coder->at < bound;
    if (bit) {
        coder->range = bound;
    } else {
        coder->range -= bound;
        if (encoding) {
            bpzi_coder_add(coder, bound);
        } else {
            coder->at -= bound;
        }
    }
    bpzi_coder_shift(coder, encoding);
    return bit;
}

/* What bpzi_coder_plain returns for a stream that no encoder makes: bits that leave any gap too large. */
#define BPZ_NO_NUMBER UINT64_MAX

/* Code `count` bits of equal probability, at most BPZ_PLAIN_BITS. Halving an odd range loses its last place. A stream
 * that points there is refused while decoding: `at` would no longer be below `range`. Once it is not, further halvings
 * leave it so; hence one look behind the last bit. */
static inline uint64_t bpzi_coder_plain(bpzi_coder *coder, int encoding, unsigned count, uint32_t number) {
    uint32_t coded = 0;
    while (count-- != 0) {
        uint32_t bit;
        coder->range >>= 1;
        bit = encoding ? number >> count & 1u : coder->at >= coder->range;
        if (encoding) {
            if (bit) bpzi_coder_add(coder, coder->range);
        } else {
            coder->at -= coder->range & (0u - (uint64_t)bit);
        }
        coded = coded << 1 | bit;
    }
    if (!encoding && coder->at >= coder->range) return BPZ_NO_NUMBER;
    bpzi_coder_shift(coder, encoding);
    return coded;
}

/* Bits that the stream has bit_usage so far, to the next whole one. */
static inline uint64_t bpzi_coder_bits_used(const bpzi_coder *coder) {
    uint64_t width = coder->range, bits = coder->passed * 8u;
    for (; width >> 63 == 0; width <<= 1) bits++;
    return bits;
}

#endif /* BPZ_RANGE_CODER_H */
