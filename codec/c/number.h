/* number.h - private: numbers as the file spells them (FORMAT.md, sections 2.2 and 2.3), and float32 by their bits.
 *
 * Floating-point numbers are handled as bits wherever that is possible: compilers may keep more precision than asked
 * for, and flush subnormal numbers, but they do not change integers. Only a grid's product is computed (section.c).
 */
#ifndef BPZ_NUMBER_H
#define BPZ_NUMBER_H

#include "bits.h"

#define BPZ_MAX_NUMBER (((uint64_t)1 << 48) - 1u)

/* Read a varint at `*offset`, which must end at or before `end`, and move `*offset` after it. BPZ_ERROR_TRUNCATED, or
 * BPZ_ERROR_CORRUPT for more than 7 bytes, for more than BPZ_MAX_NUMBER, and for a spelling that is not the
 * shortest. */
bpz_status bpzi_varint_read(const uint8_t *data, size_t *offset, size_t end, uint64_t *value);

/* The `u32` at `bytes`, on machines of any byte order and alignment. */
static inline uint32_t bpzi_word_at(const uint8_t *bytes) {
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

/* The bits of a float32, and back. */
uint32_t bpzi_word_of(float value);
float bpzi_float_of(uint32_t word);

/* Whether the bits are neither those of an infinity nor of a NaN. */
static inline int bpzi_is_finite(uint32_t word) { return (word & 0x7F800000u) != 0x7F800000u; }

/* The bits of a float16 as those of the same float32. */
uint32_t bpzi_word_of_half(uint32_t half);

/* The bits of a finite float32 as those of the nearest float16, ties to even. What rounds to more than 65504 becomes
 * infinite. */
uint32_t bpzi_half_of_word(uint32_t word);

/* The bits of the float32 +-number * 2^exponent. The caller makes sure that it is exact: `number` has at most 24 bits,
 * and the product is below 2^128 and a multiple of 2^-149. */
uint32_t bpzi_scaled(uint32_t negative, uint32_t number, int32_t exponent);

#endif /* BPZ_NUMBER_H */
