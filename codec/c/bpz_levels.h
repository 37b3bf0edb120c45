/* bpz_levels.h - beside bpz.h: a tensor's integer levels, its value map, and where its bits went.
 *
 * Memory, threads and the state after a failure are as bpz.h says.
 */
#ifndef BPZ_LEVELS_H
#define BPZ_LEVELS_H

#include "bpz.h"

#ifdef __cplusplus
extern "C" {
#endif

#define BPZ_KIND_RAW 0u      /* float32 as they are; no levels */
#define BPZ_KIND_GRID 1u     /* value = float32(level) * step */
#define BPZ_KIND_CODEBOOK 2u /* value = codebook[level], and codebook[0] = 0 */

/* How levels become values. */
typedef struct bpz_value_map {
    uint32_t kind;
    float step;              /* grid: finite and positive */
    uint32_t codebook_count; /* codebook: values with the zero that is not stored, 1 to 65536 */
    const uint8_t *codebook; /* codebook: codebook_count - 1 float32, little-endian, in the file's own bytes */
} bpz_value_map;

/* Where a record's bits went. The first four are the byte fields of its head; together all of them are the
 * record, its length field included. */
typedef struct bpz_spent {
    uint64_t frame;    /* length field and kind */
    uint64_t name;
    uint64_t shape;    /* extents and the number of non-zeros */
    uint64_t map;      /* step or codebook */
    uint64_t masks;
    uint64_t tables;   /* layout, index width and the descriptions of the codes */
    uint64_t rows;     /* non-zeros by row: the row pointers as differences */
    uint64_t indices;  /* relative column indices and fillers */
    uint64_t values;   /* levels, or raw float32 */
    uint64_t padding;
    uint32_t layout;     /* 0 dense, 1 by row, 2 running; 0 when there are no streams */
    uint32_t index_bits; /* p; 0 when there are no relative indices */
} bpz_spent;

bpz_status bpz_value_map_of(const bpz_file *file, const bpz_tensor *tensor, bpz_value_map *map);

/* All `tensor->count` levels in C order; `out_count` is the room in `out`, in elements. `spent` may be NULL.
 * BPZ_ERROR_UNSUPPORTED for a raw tensor, which has no levels; `spent` is filled even then. */
bpz_status bpz_decode_levels(const bpz_file *file, const bpz_tensor *tensor, int32_t *out, size_t out_count,
                             void *workspace, size_t workspace_size, bpz_spent *spent);

#ifdef __cplusplus
}
#endif

#endif /* BPZ_LEVELS_H */
