/* directory.h - private: directory entries (FORMAT.md, section 4).
 *
 * An entry depends on the one before it: by its name, and by where its section begins. So entries are read in order,
 * each in place of the one before: a bpz_tensor is the state of this walk and at the same time what the caller sees.
 */
#ifndef BPZ_DIRECTORY_H
#define BPZ_DIRECTORY_H

#include "bpz_levels.h"
#include "name.h"
#include "number.h"

#define BPZ_MAX_TENSORS 4096u

/* The kinds, by the numbers of FORMAT.md, section 4.1. Those of raw tensors are also the BPZ_STORED_... of
 * bpz_levels.h. */
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

/* Whether a tensor of this kind is stored as plain values. */
static inline int bpzi_kind_is_raw(uint32_t kind) { return kind < BPZ_STORED_GRID; }

/* Bytes of a plain value of a raw tensor. */
static inline uint32_t bpzi_raw_width(uint32_t kind) {
    return kind == BPZ_STORED_RAW_FLOAT32 ? 4u : kind == BPZ_STORED_RAW_INT8 ? 1u : 2u;
}

/* Read the entry at `offset`, which must end at or before `end`. `tensor` comes in as the entry before (or as
 * bpzi_before_first leaves it), of which the name, `section_offset` and `section_size` are used, and goes out as the
 * new one. */
bpz_status bpzi_entry_read(bpz_tensor *tensor, const uint8_t *data, size_t offset, size_t end, int is_seekable);

/* Set `tensor` to the place before the first entry, so that bpz_next reads the first one. */
void bpzi_before_first(const bpz_file *file, bpz_tensor *tensor);

#endif /* BPZ_DIRECTORY_H */
