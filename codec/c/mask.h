/* mask.h - private: which rows, or which columns, are live (FORMAT.md, section 6.2).
 *
 * A mask may cover 2^48 indices, and the decoder allocates nothing. So a mask is never expanded into memory: it stays
 * in the file, and a bpzi_mask is a place in it, which walks from one live index to the next. A copy of it begins
 * again; the decoder copies the mask of the columns once for each row.
 *
 * bpzi_mask_read reads the whole mask once, checks it and counts the live indices. All later reads go over the same
 * bits, and therefore cannot fail.
 */
#ifndef BPZ_MASK_H
#define BPZ_MASK_H

#include "bits.h"

typedef struct bpzi_mask {
    bpzi_bits bits;       /* at the next bit, or the next run, of the mask */
    uint32_t mode;        /* mask_mode: BPZ_MASK_... */
    unsigned run_order;   /* order of the run lengths */
    uint32_t is_run_live; /* whether the next run is live */
    uint64_t extent;      /* rows or columns in all */
    uint64_t live;        /* the number of live ones */
    uint64_t position;    /* the present live index; valid after bpzi_mask_begin */
    uint64_t run_end;     /* runs: end of the run that holds `position` */
} bpzi_mask;

#define BPZ_MASK_NONE 0u
#define BPZ_MASK_RAW  1u
#define BPZ_MASK_RUNS 2u

/* Read a mask over `extent` indices, check it, count the live ones and leave `bits` after it. BPZ_ERROR_CORRUPT for a
 * mask that keeps or removes nothing (though mode 0 removes nothing), and for runs that do not sum to the extent. */
bpz_status bpzi_mask_read(bpzi_mask *mask, bpzi_bits *bits, uint64_t extent);

/* Go to the first live index. There is one: bpzi_mask_read has checked it, or the caller has, for mode 0. */
void bpzi_mask_begin(bpzi_mask *mask);

/* Go `count` live indices further; the caller makes sure that there are as many. */
void bpzi_mask_skip(bpzi_mask *mask, uint64_t count);

#endif /* BPZ_MASK_H */
