/* directory.h - private: a tensor's entry in the directory (FORMAT.md, section 4). */
#ifndef BPZ_DIRECTORY_H
#define BPZ_DIRECTORY_H

#include "bpz_levels.h"
#include "name.h"
#include "number.h"

#define BPZ_MAX_TENSORS 4096u

/* How a tensor is stored; the numbers are the file's. */
#define BPZ_STORED_RAW_FLOAT32    0u
#define BPZ_STORED_RAW_FLOAT16    1u
#define BPZ_STORED_RAW_BFLOAT16   2u
#define BPZ_STORED_RAW_INT8       3u
#define BPZ_STORED_GRID           4u
#define BPZ_STORED_GRID_SHORT     5u
#define BPZ_STORED_CODEBOOK       6u
#define BPZ_STORED_CODEBOOK_SHORT 7u
#define BPZ_STORED_MINIFLOAT      8u
#define BPZ_STORED_KINDS          9u

static inline int bpzi_kind_is_raw(uint32_t kind) { return kind < BPZ_STORED_GRID; }

/* Bytes of a raw value. */
static inline uint32_t bpzi_raw_width(uint32_t kind) {
    return kind == BPZ_STORED_RAW_FLOAT32 ? 4u : kind == BPZ_STORED_RAW_INT8 ? 1u : 2u;
}

/* Read the entry at `offset`, which must end at or before `end`. `tensor` goes in with the name of the entry before
 * (its length 0: there is none) and with `section_offset` and `section_size` of its section, and comes out whole. */
bpz_status bpzi_entry_read(bpz_tensor *tensor, const uint8_t *data, size_t offset, size_t end, int is_seekable);

/* Put the place before the first entry at `tensor`, so that bpz_next goes on from it. */
void bpzi_before_first(const bpz_file *file, bpz_tensor *tensor);

#endif /* BPZ_DIRECTORY_H */
