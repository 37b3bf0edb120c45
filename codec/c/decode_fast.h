/* decode_fast.h - private: the running layout without masks, decoded at speed.
 *
 * The plain decoder asks at each number whether the stream still holds it. Here one look at the bytes that are left
 * vouches for a whole entry, elements come from a table, and whatever is out of the ordinary is left to the plain decoder:
 * the end of the stream, rare levels, bad values. What both read, they read alike.
 */
#ifndef BPZ_DECODE_FAST_H
#define BPZ_DECODE_FAST_H

#include "code.h"
#include "flat_output.h"

#define BPZ_FAST_VALUES 512u

typedef struct bpzi_fast {
    uint32_t *words; /* elements, by their bits, of value numbers below `known` */
    uint32_t known;  /* at most BPZ_FAST_VALUES; 0 where this decoder is of no use */
    const bpzi_code *index_code, *value_code;
    bpzi_output *out;
    uint32_t filler;
    uint64_t columns;
    uint64_t positions; /* of the matrix */
    uint64_t nonzero;
    uint64_t entry;    /* entries read */
    uint64_t position; /* the first position not yet passed */
} bpzi_fast;

/* Read entries from `entry` on as far as this decoder goes, and leave `bits`, `entry` and `position` behind the last.
 * BPZ_ERROR_CORRUPT when an index is out of range. */
bpz_status bpzi_fast_running(bpzi_fast *fast, bpzi_bits *bits);

#endif /* BPZ_DECODE_FAST_H */
