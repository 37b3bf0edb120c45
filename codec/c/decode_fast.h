/* decode_fast.h - private: the running layout without masks, decoded fast.
 *
 * The general decoder asks at each number whether the stream still holds it, and calls a function to put each element.
 * Here one comparison with the bytes that are left serves an entry, or several short ones; elements come from a table
 * by value number, and are stored by position. Whatever is unusual is left to the general decoder: the end of the
 * stream, rare levels, wide codes, levels without a value. It continues at the entry where this decoder stopped, and
 * may hand back to it: both read the same entries in the same way.
 */
#ifndef BPZ_DECODE_FAST_H
#define BPZ_DECODE_FAST_H

#include "code.h"
#include "flat_output.h"

#define BPZ_FAST_VALUES 512u /* value numbers in the table of elements: 2 kB */

typedef struct bpzi_fast {
    uint32_t *words; /* elements by their bits, by value number */
    uint32_t known;  /* value numbers in the table, at most BPZ_FAST_VALUES; 0 when this decoder cannot be used */
    const bpzi_code *index_code, *value_code;
    bpzi_output *out;
    uint32_t filler;
    uint64_t columns;
    uint64_t positions; /* of the matrix */
    uint64_t nonzero;
    uint64_t entry;    /* entries read */
    uint64_t position; /* the first position not yet passed */
} bpzi_fast;

/* Read entries from `entry` on as far as this decoder goes, and leave `bits`, `entry` and `position` after the last of
 * them. BPZ_ERROR_CORRUPT for an index past the matrix. */
bpz_status bpzi_fast_running(bpzi_fast *fast, bpzi_bits *bits);

#endif /* BPZ_DECODE_FAST_H */
