/* decode_fast.c - the running layout without masks, decoded fast; see decode_fast.h.
 *
 * The inner loop works on copies: `at` is a reader after the last whole entry, `now` one within the present entry. So
 * an entry that cannot be finished here is given up by dropping `now`, and the general decoder reads it again from
 * `at`.
 *
 * Refilling differs from bits.h. Eight bytes are loaded at once and shifted under what is held, so the window has bits
 * of the stream below `held` as well. They are the bits that a later refill loads again, and an OR with the same bits
 * changes nothing. The general reader requires zeros there, and gets them at the end.
 */
#include "decode_fast.h"

/* Bits of one number at most: an entry of two numbers fits into the 56 bits that a refill guarantees, one bit less than
 * bpzi_bits_fill, since refill counts whole bytes from 63 bits. Most streams of networks have far shorter numbers. */
#define BPZ_QUICK_BITS  28u
#define BPZ_QUICK_BYTES 8u

BPZ_STATIC_ASSERT(one_refill_serves_an_entry, 2u * BPZ_QUICK_BITS <= BPZ_BITS_FILLED - 1u);

static uint64_t big_endian(const uint8_t *bytes) {
    return (uint64_t)bytes[0] << 56 | (uint64_t)bytes[1] << 48 | (uint64_t)bytes[2] << 40 | (uint64_t)bytes[3] << 32 |
           (uint64_t)bytes[4] << 24 | (uint64_t)bytes[5] << 16 | (uint64_t)bytes[6] << 8 | (uint64_t)bytes[7];
}

/* Bring at least 56 bits into the window; BPZ_QUICK_BYTES must be left. Only whole bytes are counted as held. */
static inline void refill(bpzi_bits *bits) {
    const unsigned bytes = (63u - bits->held) >> 3;
    bits->window |= big_endian(bits->next) >> bits->held;
    bits->next += bytes;
    bits->held += bytes * 8u;
}

/* bpzi_code_next, where the caller knows that the window holds the number and that it fits 32 bits. */
static inline uint32_t next_number(const bpzi_code *code, bpzi_bits *bits) {
    uint32_t number = code->base;
    if (code->table_bits != 0) {
        const unsigned entry = code->table[bits->window >> (64u - code->table_bits)];
        bpzi_bits_drop(bits, entry & ((1u << BPZ_LENGTH_BITS) - 1u));
        number = (uint32_t)(entry >> BPZ_LENGTH_BITS) << code->raw_bits;
    }
    number += (uint32_t)((bits->window >> 1) >> (63u - code->raw_bits));
    bpzi_bits_drop(bits, code->raw_bits);
    return number;
}

/* Bits of the longest number of a code; more than BPZ_QUICK_BITS for a code that this decoder leaves alone. Among these
 * are codes that can spell numbers above 2^32 - 1: the general decoder rejects such a number, and here it would lose
 * its upper bits. */
static unsigned longest(const bpzi_code *code) {
    return code->largest > UINT32_MAX ? BPZ_QUICK_BITS + 1u : code->table_bits + code->raw_bits;
}

/* Whether the window holds `needed` bits, after a refill if necessary. Most entries are short, so one refill serves
 * several. */
static inline int holds(bpzi_bits *bits, unsigned needed) {
    if (bits->held >= needed) return 1;
    if ((size_t)(bits->end - bits->next) < BPZ_QUICK_BYTES) return 0;
    refill(bits);
    return 1;
}

bpz_status bpzi_fast_running(bpzi_fast *fast, bpzi_bits *bits) {
    const bpzi_code index_code = *fast->index_code, value_code = *fast->value_code;
    uint64_t entry = fast->entry, position = fast->position;
    bpzi_flat_output flat = bpzi_flat_output_begin(fast->out, fast->columns);
    bpzi_bits at = *bits;
    const unsigned index_bits = longest(&index_code), value_bits = longest(&value_code);
    if (fast->known == 0 || index_bits > BPZ_QUICK_BITS || value_bits > BPZ_QUICK_BITS) return BPZ_OK;
    while (entry < fast->nonzero && holds(&at, index_bits + value_bits)) {
        bpzi_bits now = at;
        uint64_t place = position;
        uint32_t number;
        number = next_number(&index_code, &now);
        while (number == fast->filler && holds(&now, index_bits + value_bits)) {
            place += number;
            /* Each filler passes over at least one position, so the matrix bounds this loop. */
            if (place >= fast->positions) return BPZ_ERROR_CORRUPT;
            number = next_number(&index_code, &now);
        }
        if (number == fast->filler) break; /* the stream ends soon */
        if (number > fast->filler || number >= fast->positions - place) return BPZ_ERROR_CORRUPT;
        place += number;
        number = next_number(&value_code, &now);
        if (number >= fast->known) break; /* a rare level */
        bpzi_flat_output_put(&flat, place, entry, fast->words[number]);
        position = place + 1u;
        entry++;
        at = now;
    }
    /* The general reader requires zeros below what is held. */
    at.window = at.held == 0 ? 0 : at.window & ~(uint64_t)0 << (64u - at.held);
    *bits = at;
    fast->entry = entry;
    fast->position = position;
    fast->out->entries = entry;
    return BPZ_OK;
}
