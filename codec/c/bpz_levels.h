/* bpz_levels.h - what levels mean, and where the bits of a tensor are. An addition to bpz.h, for tools and for kernels
 * that compute with levels.
 *
 * The rules of bpz.h about ownership, NULL, threads and failure hold here too.
 */
#ifndef BPZ_LEVELS_H
#define BPZ_LEVELS_H

#include "bpz.h"

#ifdef __cplusplus
extern "C" {
#endif

/* bpz_value_map.kind */
#define BPZ_KIND_RAW       0u /* plain values of type `storage`; no levels */
#define BPZ_KIND_GRID      1u /* value = float32(level) * step */
#define BPZ_KIND_CODEBOOK  2u /* value = codebook[level], and codebook[0] = 0 */
#define BPZ_KIND_MINIFLOAT 3u /* a level is the sign and the bits of a small floating-point number */

/* bpz_value_map.storage */
#define BPZ_STORED_FLOAT32  0u
#define BPZ_STORED_FLOAT16  1u
#define BPZ_STORED_BFLOAT16 2u
#define BPZ_STORED_INT8     3u

/* How levels become values (FORMAT.md, sections 5.1 and 5.2). Fields of other kinds are 0. */
typedef struct bpz_value_map {
    uint32_t kind;           /* BPZ_KIND_... */
    uint32_t storage;        /* raw and codebook: BPZ_STORED_..., the type of the stored values */
    float step;              /* grid: finite and positive */
    uint32_t codebook_count; /* codebook: values, with the 0 of level 0 that is not stored; 1 to 65536 */
    const uint8_t *codebook; /* codebook: codebook_count - 1 values, little-endian; they lie in the bytes of the file */
    uint32_t exponent_bits;  /* minifloat: 1 to 8 */
    uint32_t mantissa_bits;  /* minifloat: 0 to 15 */
    int32_t unit;            /* minifloat: level 1 is 2^unit */
} bpz_value_map;

/* Where the bits of a tensor are, in bits. All parts together are its directory entry and its section. */
typedef struct bpz_bit_usage {
    uint64_t frame; /* kind, rank, content_size and checksum */
    uint64_t name;
    uint64_t shape; /* extents and nonzero */
    uint64_t map;   /* step, codebook or minifloat */
    uint64_t masks;
    uint64_t tables;  /* layout, index_bits, and the descriptions of the codes or the fields of the adaptive layout */
    uint64_t rows;    /* by row: the number of non-zeros of each row */
    uint64_t indices; /* positions: index numbers and fillers, or what an adaptive stream takes besides its values */
    uint64_t values;  /* value numbers, or plain values; estimated for an adaptive stream */
    uint64_t padding;
    uint32_t layout;     /* 0 dense or nothing stored, 1 by row, 2 running, 3 adaptive by position, 4 adaptive by gap */
    uint32_t index_bits; /* 0 when there are no index numbers */
} bpz_bit_usage;

/* The value map of a tensor. Verifies the checksum of its section where it has one. */
bpz_status bpz_value_map_of(const bpz_file *file, const bpz_tensor *tensor, bpz_value_map *map, void *workspace,
                            size_t workspace_size);

/* The value that a level stands for, the same bits as bpz_decode writes. BPZ_ERROR_ARGUMENT for the map of a raw
 * tensor, BPZ_ERROR_CORRUPT, and `*value` unchanged, for a level that has no value. */
bpz_status bpz_level_value(const bpz_value_map *map, int32_t level, float *value);

/* bpz_decode to BPZ_INT32, which counts the bits on its way: several times slower. BPZ_ERROR_UNSUPPORTED for a raw
 * tensor, which has no levels; `*bit_usage` is filled even then, and `out` is not written. */
bpz_status bpz_decode_with_usage(const bpz_file *file, const bpz_tensor *tensor, int32_t *out, size_t out_count,
                                 void *workspace, size_t workspace_size, bpz_bit_usage *bit_usage);

#ifdef __cplusplus
}
#endif

#endif /* BPZ_LEVELS_H */
