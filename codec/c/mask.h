/* mask.h - private: which rows, or which columns, are live, read straight from the file (FORMAT.md, section 6).
 *
 * A mask is never expanded into memory: a cursor walks it, and is copied to begin again.
 */
#ifndef BPZ_MASK_H
#define BPZ_MASK_H

#include "bits.h"

typedef struct bpzi_mask {
    bpzi_bits bits;    /* at the next bit, or the next run, of the mask */
    uint32_t mode;     /* BPZ_MASK_... */
    unsigned golomb;   /* order of the run lengths */
    uint32_t run_live; /* whether the run that comes next is live */
    uint64_t extent;   /* rows or columns in all */
    uint64_t live;     /* of these, live */
    uint64_t position; /* the current live index; meaningful after bpzi_mask_begin */
    uint64_t run_end;  /* runs: end of the run that holds `position` */
} bpzi_mask;

#define BPZ_MASK_NONE 0u
#define BPZ_MASK_RAW  1u
#define BPZ_MASK_RUNS 2u

/* Read a mask over `extent` indices, check it, count what is live and leave `bits` behind it. */
bpz_status bpzi_mask_read(bpzi_mask *mask, bpzi_bits *bits, uint64_t extent);

/* Go to the first live index. The mask was checked by bpzi_mask_read and has at least one. */
void bpzi_mask_begin(bpzi_mask *mask);

/* Go `count` live indices further; there must be as many. */
void bpzi_mask_skip(bpzi_mask *mask, uint64_t count);

#endif /* BPZ_MASK_H */
