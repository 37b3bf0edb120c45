/* number.c - numbers as the file spells them, and conversions of small floating-point formats.
 *
 * Every byte is compared with `end` before it is read. The conversions work on bits, see number.h.
 */
#include "number.h"

#include <string.h>

/* bpzi_word_of and bpzi_float_of copy one into the other. */
BPZ_STATIC_ASSERT(float_is_binary32, sizeof(float) == 4);

#define BPZ_VARINT_BITS 49u /* seven bytes of seven bits */

bpz_status bpzi_varint_read(const uint8_t *data, size_t *offset, size_t end, uint64_t *value) {
    uint64_t number = 0;
    unsigned shift = 0;
    uint8_t byte;
    do {
        if (*offset >= end) return BPZ_ERROR_TRUNCATED;
        byte = data[(*offset)++];
        number |= (uint64_t)(byte & 0x7Fu) << shift;
        if (number > BPZ_MAX_NUMBER) return BPZ_ERROR_CORRUPT;
        if (byte == 0 && shift != 0) return BPZ_ERROR_CORRUPT; /* longer than needed */
        shift += 7u;
    } while ((byte & 0x80u) != 0 && shift < BPZ_VARINT_BITS);
    if ((byte & 0x80u) != 0) return BPZ_ERROR_CORRUPT;
    *value = number;
    return BPZ_OK;
}

uint32_t bpzi_word_of(float value) {
    uint32_t word;
    memcpy(&word, &value, sizeof word);
    return word;
}

float bpzi_float_of(uint32_t word) {
    float value;
    memcpy(&value, &word, sizeof value);
    return value;
}

uint32_t bpzi_scaled(uint32_t negative, uint32_t number, int32_t exponent) {
    const uint32_t sign = negative << 31;
    int32_t highest = 0; /* place of the number's highest bit */
    if (number == 0) return sign;
    while (number >> highest > 1u) highest++;
    exponent += highest;
    if (exponent < -126) return sign | number << (exponent - highest + 149); /* subnormal: in units of 2^-149 */
    return sign | (uint32_t)(exponent + 127) << 23 | (number << (23 - highest) & 0x7FFFFFu);
}

uint32_t bpzi_word_of_half(uint32_t half) {
    const uint32_t negative = half >> 15, exponent = half >> 10 & 31u, mantissa = half & 0x3FFu;
    if (exponent == 31u) return negative << 31 | 0x7F800000u | mantissa << 13;
    return exponent == 0 ? bpzi_scaled(negative, mantissa, -24)
                         : bpzi_scaled(negative, mantissa | 0x400u, (int32_t)exponent - 25);
}

uint32_t bpzi_half_of_word(uint32_t word) {
    const uint32_t sign = word >> 16 & 0x8000u, size = word & 0x7FFFFFFFu;
    uint32_t kept, lost, half;
    unsigned shift;
    if (size >= 0x477FF000u) return sign | 0x7C00u; /* 65520, halfway to 65536, and above */
    if (size >= 0x38800000u) {                      /* 2^-14 and above: normal. The biases 127 and 15 are 112 apart */
        kept = size - (112u << 23);
        shift = 13;
    } else if (size >= 0x33000000u) { /* 2^-25, halfway to the least float16, and above: subnormal */
        kept = (size & 0x7FFFFFu) | 0x800000u;
        shift = 126u - (size >> 23);
    } else {
        return sign;
    }
    half = kept >> shift; /* what rounds up carries into the exponent, as it should */
    lost = kept & ((1u << shift) - 1u);
    if (lost > 1u << (shift - 1u) || (lost == 1u << (shift - 1u) && (half & 1u) != 0)) half++;
    return sign | half;
}
