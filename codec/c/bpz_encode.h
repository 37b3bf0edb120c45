/* bpz_encode.h - primitives of the encoder: bits, the entries of a prefix-coded layout, and adaptive streams.
 *
 * What to write (layout, masks, codes) is the caller's choice; these functions write it. They trust the meaning of the
 * numbers that they are given, and check the room: nothing is written past `capacity`.
 *
 * Ownership, threads and failure are as in bpz.h: nothing is allocated or kept, and each thread needs its own buffers.
 * Pointers must not be NULL unless a comment allows it; they are not checked.
 */
#ifndef BPZ_ENCODE_H
#define BPZ_ENCODE_H

#include "bpz.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Where bits go: next into out[bit_count / 8], the most significant one first. All bytes must be 0 at the beginning,
 * since bits are added with an OR. */
typedef struct bpz_writer {
    uint8_t *out;
    size_t capacity;    /* bytes of `out` */
    uint64_t bit_count; /* bits written so far */
} bpz_writer;

/* The code of one stream (FORMAT.md, section 7). When `lengths` is NULL a number is written fixed-width: number - base
 * in raw_bits bits. Otherwise it is the Huffman code of number >> raw_bits, and then its raw_bits low bits. */
typedef struct bpz_write_code {
    uint32_t base;          /* fixed-width: what is subtracted from each number */
    uint32_t raw_bits;      /* at most 32 */
    uint32_t symbol_count;  /* Huffman: elements of the two arrays */
    const uint8_t *lengths; /* Huffman: bits of each code, 1 to 12, or 0 for a symbol without a code */
    const uint16_t *codes;  /* Huffman: the codes, in their low bits */
} bpz_write_code;

/* The entries of one tensor, in file order. An array may be NULL when its count is 0. */
typedef struct bpz_entries {
    uint64_t segment_count;     /* live rows in the layout by row; 1 in the others */
    const uint32_t *in_segment; /* entries of each segment */
    uint64_t count;             /* entries in all */
    const uint32_t *gaps;       /* zero positions before each entry; NULL in the dense layout */
    const uint32_t *values;     /* value numbers */
    uint32_t index_bits;        /* 1 to 31: a gap of 2^index_bits - 1 or more is written with fillers */
    int write_segments;         /* whether in_segment is written: the layout by row */
} bpz_entries;

/* Append the widths[i] low bits of numbers[i], for i from 0 to count - 1; a width is at most 32, or BPZ_ERROR_ARGUMENT.
 * BPZ_ERROR_BUFFER_TOO_SMALL when they do not fit; the numbers before have been written. */
bpz_status bpz_write_bits(bpz_writer *writer, const uint32_t *numbers, const uint8_t *widths, size_t count);

/* Append the entries. `segment_code` may be NULL unless write_segments is set, and `index_code` when gaps is NULL.
 * BPZ_ERROR_ARGUMENT when a number has no code, or when the segments do not sum to the count;
 * BPZ_ERROR_BUFFER_TOO_SMALL when they do not fit. What came before has been written. */
bpz_status bpz_write_entries(bpz_writer *writer, const bpz_entries *entries, const bpz_write_code *segment_code,
                             const bpz_write_code *index_code, const bpz_write_code *value_code);

/* The live part of a matrix, as the adaptive layout needs to know it. */
typedef struct bpz_matrix {
    uint64_t rows;      /* live ones */
    uint64_t columns;   /* live ones */
    uint64_t nonzero;   /* levels that are not 0; at least one */
    uint32_t mean_code; /* 0 to 31: magnitudes average about 2^(mean_code / 4) */
    int is_signed;      /* whether values have signs; those of a codebook have none */
} bpz_matrix;

/* The size in bytes of the workspace of the two functions below, which needs the alignment of a uint64_t. */
size_t bpz_adaptive_workspace_size(void);

/* Write the adaptive stream of a matrix by position, from its rows * columns levels in C order. `*size` receives its
 * bytes. BPZ_ERROR_BUFFER_TOO_SMALL when `capacity` or `workspace_size` is too small, BPZ_ERROR_ARGUMENT for a negative
 * level when is_signed is 0, for a nonzero of 0 and for a mean_code above 31. After a failure `out` and `*size` are
 * unspecified. */
bpz_status bpz_write_adaptive(const bpz_matrix *matrix, const int32_t *levels, uint8_t *out, size_t capacity,
                              size_t *size, void *workspace, size_t workspace_size);

/* The same by gap. `gaps` and `values` have matrix->nonzero numbers: the zero positions before each non-zero, and its
 * value number as in layouts 1 and 2 (FORMAT.md, section 8.5). gap_bits is 0 to 31, or BPZ_ERROR_ARGUMENT. */
bpz_status bpz_write_gaps(const bpz_matrix *matrix, uint32_t gap_bits, const uint32_t *gaps, const uint32_t *values,
                          uint8_t *out, size_t capacity, size_t *size, void *workspace, size_t workspace_size);

#ifdef __cplusplus
}
#endif

#endif /* BPZ_ENCODE_H */
