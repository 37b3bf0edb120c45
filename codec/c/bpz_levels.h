/* bpz_levels.h - beside bpz.h: a tensor's value map, and where its bits went.
 *
 * Memory, threads and the state after a failure are as bpz.h says.
 */
#ifndef BPZ_LEVELS_H
#define BPZ_LEVELS_H

#include "bpz.h"

#ifdef __cplusplus
extern "C" {
#endif

#define BPZ_KIND_RAW       0u /* values as they are, stored as `storage` says; no levels */
#define BPZ_KIND_GRID      1u /* value = float32(level) * step */
#define BPZ_KIND_CODEBOOK  2u /* value = codebook[level], and codebook[0] = 0 */
#define BPZ_KIND_MINIFLOAT 3u /* the level is sign and magnitude of a small floating-point number's bits */

#define BPZ_STORED_FLOAT32  0u
#define BPZ_STORED_FLOAT16  1u
#define BPZ_STORED_BFLOAT16 2u
#define BPZ_STORED_INT8     3u

/* How levels become values. */
typedef struct bpz_value_map {
    uint32_t kind;
    uint32_t storage;        /* raw and codebook: of the stored values */
    float step;              /* grid: finite and positive */
    uint32_t codebook_count; /* codebook: values with the zero that is not stored, 1 to 65536 */
    const uint8_t *codebook; /* codebook: codebook_count - 1 values, little-endian, in the file's own bytes */
    uint32_t exponent_bits;  /* minifloat: 1 to 8 */
    uint32_t mantissa_bits;  /* minifloat: 0 to 15 */
    int32_t unit;            /* minifloat: level 1 is 2^unit */
} bpz_value_map;

/* Where a tensor's bits went. Together all of them are its entry in the directory and its section. */
typedef struct bpz_bit_usage {
    uint64_t frame; /* kind, section length and checksum */
    uint64_t name;
    uint64_t shape; /* extents and the number of non-zeros */
    uint64_t map;   /* step, codebook or minifloat */
    uint64_t masks;
    uint64_t tables;  /* layout, index width and the descriptions of the codes */
    uint64_t rows;    /* non-zeros by row: the row pointers as differences */
    uint64_t indices; /* relative column indices and fillers */
    uint64_t values;  /* levels, or raw values */
    uint64_t padding;
    uint32_t layout;     /* 0 dense, 1 by row, 2 running, 3 adaptive, 4 adaptive by gaps; 0 when there are no streams */
    uint32_t index_bits; /* p; 0 when there are no relative indices */
} bpz_bit_usage;

/* The tensor's value map. Checks the section's CRC-32 where it has one of its own: workspace as for decoding. */
bpz_status bpz_value_map_of(const bpz_file *file, const bpz_tensor *tensor, bpz_value_map *map, void *workspace,
                            size_t workspace_size);

/* The value that a level stands for, as bpz_decode has it. BPZ_ERROR_ARGUMENT for a raw tensor's map, BPZ_ERROR_CORRUPT
 * for a level that the map has none for. */
bpz_status bpz_level_value(const bpz_value_map *map, int32_t level, float *value);

/* bpz_decode to BPZ_INT32 with an account of the bits. BPZ_ERROR_UNSUPPORTED for a raw tensor, which has no levels;
 * `bit_usage` is filled even then. */
bpz_status bpz_decode_with_usage(const bpz_file *file, const bpz_tensor *tensor, int32_t *out, size_t out_count,
                                 void *workspace, size_t workspace_size, bpz_bit_usage *bit_usage);

#ifdef __cplusplus
}
#endif

#endif /* BPZ_LEVELS_H */
