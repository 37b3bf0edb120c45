/* bpz_encode.h - the encoder's primitives: packing bits, and the interleaved entries of a tensor.
 *
 * What to write (layout, masks, codes) is the caller's choice; these calls only write it. They trust their
 * caller as to the meaning of the numbers, and no one as to room: nothing is written past `capacity`.
 */
#ifndef BPZ_ENCODE_H
#define BPZ_ENCODE_H

#include "bpz.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Bits go to out[bit_count / 8] most significant first; the bytes must be zero beforehand. */
typedef struct bpz_writer {
    uint8_t *out;
    size_t capacity; /* bytes */
    uint64_t bit_count;
} bpz_writer;

/* One stream's code. For a number n: fixed-width when `lengths` is NULL, n - base in raw_bits bits; else the
 * Huffman code of n >> raw_bits, then the raw_bits low bits of n. */
typedef struct bpz_write_code {
    uint32_t base;
    uint32_t raw_bits;      /* at most 32 */
    uint32_t symbol_count;  /* entries in the two arrays */
    const uint8_t *lengths; /* bits of each code, 1 to 12; 0 for a symbol without one */
    const uint16_t *codes;
} bpz_write_code;

/* One tensor's entries in file order. An array may be NULL where its count is 0. */
typedef struct bpz_entries {
    uint64_t segment_count;     /* rows in layout 1; 1 in the others */
    const uint32_t *in_segment; /* entries of each segment */
    uint64_t count;             /* entries in all */
    const uint32_t *gaps;       /* dense layout: NULL */
    const uint32_t *values;
    uint32_t index_bits; /* p: a gap of 2^p - 1 or more is written with fillers */
    int write_segments;  /* whether in_segment goes into the stream */
} bpz_entries;

/* Append widths[i] low bits of numbers[i], for i from 0 to count - 1; each width is at most 32.
 * BPZ_ERROR_BUFFER_TOO_SMALL when they do not fit; what did fit has been written. */
bpz_status bpz_write_bits(bpz_writer *writer, const uint32_t *numbers, const uint8_t *widths, size_t count);

/* Append the entries. BPZ_ERROR_ARGUMENT when a number has no code, or the segments do not sum to the count. */
bpz_status bpz_write_entries(bpz_writer *writer, const bpz_entries *entries, const bpz_write_code *segment_code,
                             const bpz_write_code *index_code, const bpz_write_code *value_code);

/* What the adaptive layout is told of the live part of a matrix. */
typedef struct bpz_matrix {
    uint64_t rows;
    uint64_t columns;
    uint64_t nonzero;   /* levels that are not 0; at least one */
    uint32_t mean_code; /* 0 to 31: magnitudes average about 2^(mean_code / 4) */
    int is_signed;      /* whether levels can be negative: not a codebook's */
} bpz_matrix;

/* Workspace of the two calls below in bytes; alignment of a uint64_t. */
size_t bpz_adaptive_workspace_size(void);

/* The adaptive stream of a matrix by its rows * columns levels in C order: `*size` bytes at `out`.
 * BPZ_ERROR_BUFFER_TOO_SMALL when they do not fit. */
bpz_status bpz_write_adaptive(const bpz_matrix *matrix, const int32_t *levels, uint8_t *out, size_t capacity,
                              size_t *size, void *workspace, size_t workspace_size);

/* The same by gaps: for each non-zero the positions passed over before it, and its value number, zero having none.
 * gap_bits is 0 to 31. */
bpz_status bpz_write_gaps(const bpz_matrix *matrix, uint32_t gap_bits, const uint32_t *gaps, const uint32_t *values,
                          uint8_t *out, size_t capacity, size_t *size, void *workspace, size_t workspace_size);

#ifdef __cplusplus
}
#endif

#endif /* BPZ_ENCODE_H */
