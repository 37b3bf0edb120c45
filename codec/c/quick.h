/* quick.h - private: the running layout without masks, decoded at speed.
 *
 * The plain decoder asks at each number whether the stream still holds it. Here one look at the bytes that are left
 * vouches for a whole entry, elements come from a table, and whatever is out of the ordinary is left to the plain decoder:
 * the end of the stream, rare levels, bad values. What both read, they read alike.
 */
#ifndef BPZ_QUICK_H
#define BPZ_QUICK_H

#include "code.h"
#include "flat.h"

#define BPZ_QUICK_VALUES 512u

typedef struct bpz_quick {
    uint32_t *words;      /* elements, by their bits, of value numbers below `known` */
    uint32_t known;       /* at most BPZ_QUICK_VALUES; 0 where this decoder is of no use */
    const bpz_code *index_code, *value_code;
    bpz_sink *out;
    uint32_t filler;
    uint64_t columns;
    uint64_t positions;   /* of the matrix */
    uint64_t nonzero;
    uint64_t entry;       /* entries read */
    uint64_t position;    /* the first position not yet passed */
} bpz_quick;

/* Read entries from `entry` on as far as this decoder goes, and leave `bits`, `entry` and `position` behind the last.
 * BPZ_ERROR_CORRUPT when an index is out of range. */
bpz_status bpz_quick_running(bpz_quick *quick, bpz_bits *bits);

#endif /* BPZ_QUICK_H */
