/* number.h - private: numbers as the file spells them. */
#ifndef BPZ_NUMBER_H
#define BPZ_NUMBER_H

#include "bits.h"

#define BPZ_MAX_NUMBER (((uint64_t)1 << 48) - 1u)

/* An unsigned LEB128 of at most 7 bytes, at most BPZ_MAX_NUMBER, in its shortest spelling. */
bpz_status bpzi_varint_read(const uint8_t *data, size_t *offset, size_t end, uint64_t *value);

static inline uint32_t bpzi_word_at(const uint8_t *bytes) {
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

/* float32 are handled by their bits, so that no compiler's idea of arithmetic can change them. */
uint32_t bpzi_word_of(float value);
float bpzi_float_of(uint32_t word);

/* Whether the bits are neither those of an infinity nor of a NaN. */
static inline int bpzi_is_finite(uint32_t word) { return (word & 0x7F800000u) != 0x7F800000u; }

/* A float16's bits as a float32's: exact. */
uint32_t bpzi_word_of_half(uint32_t half);

/* A finite float32's bits as a float16's, to nearest, ties to even. Above 65504 the result is infinite. */
uint32_t bpzi_half_of_word(uint32_t word);

/* sign * number * 2^exponent by its bits; below 2^128, a multiple of 2^-149, of at most 24 bits. */
uint32_t bpzi_scaled(uint32_t negative, uint32_t number, int32_t exponent);

#endif /* BPZ_NUMBER_H */
