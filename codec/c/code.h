/* code.h - private: how the numbers of one stream are spelled, fixed-width or Huffman (FORMAT.md, section 7).
 *
 * A Huffman code is decoded with one lookup. Codes have at most 12 bits, so a table indexed by the next `table_bits`
 * bits of the stream, where table_bits is the longest length in use, tells for every possible content which symbol
 * comes first and how many bits its code has. An entry packs both in 16 bits: symbol << BPZ_LENGTH_BITS | length.
 *
 * Every entry of the table is filled, because bpzi_code_read accepts full codes only: there are no bits that spell
 * nothing, and no entry that an attacker could leave undefined.
 */
#ifndef BPZ_CODE_H
#define BPZ_CODE_H

#include "bits.h"

#define BPZ_MAX_CODE_LENGTH 12u
#define BPZ_MAX_SYMBOLS     4096u
#define BPZ_LENGTH_BITS     4u /* a table entry is symbol << 4 | length */
#define BPZ_TABLE_ENTRIES   (1u << BPZ_MAX_CODE_LENGTH)

/* The two parts of an entry fit. A code with all symbols in use has an entry for each of them. The longest code is in
 * the window after one fill. */
BPZ_STATIC_ASSERT(length_fits_its_field, BPZ_MAX_CODE_LENGTH < 1u << BPZ_LENGTH_BITS);
BPZ_STATIC_ASSERT(entry_fits_16_bits, (BPZ_MAX_SYMBOLS - 1u) << BPZ_LENGTH_BITS <= 0xFFFFu);
BPZ_STATIC_ASSERT(each_symbol_has_a_leaf, BPZ_MAX_SYMBOLS <= BPZ_TABLE_ENTRIES);
BPZ_STATIC_ASSERT(one_fill_serves_one_code, BPZ_MAX_CODE_LENGTH <= BPZ_BITS_FILLED);

typedef struct bpzi_code {
    const uint16_t *table; /* 2^table_bits entries, indexed by the next table_bits bits */
    uint32_t base;         /* fixed-width: what the raw bits are added to */
    unsigned table_bits;   /* longest code in use; 0 for fixed-width */
    unsigned raw_bits;     /* plain bits after the Huffman code, or all bits of the number */
    uint64_t largest;      /* the largest number that the code can spell, which may be above UINT32_MAX */
} bpzi_code;

/* Read the description of a code. `table` is room for BPZ_TABLE_ENTRIES, which the code uses as long as it is used
 * itself; `lengths` is room for BPZ_MAX_SYMBOLS, free again afterwards. BPZ_ERROR_CORRUPT for a width above 32, and for
 * a Huffman code that is over-full or incomplete. */
bpz_status bpzi_code_read(bpzi_code *code, bpzi_bits *bits, uint16_t *table, uint8_t *lengths);

/* Read the next number of the stream. BPZ_ERROR_TRUNCATED when the stream ends within it, BPZ_ERROR_CORRUPT when it is
 * above 2^32 - 1. */
static inline bpz_status bpzi_code_next(const bpzi_code *code, bpzi_bits *bits, uint32_t *value) {
    uint64_t number = code->base;
    uint32_t raw;
    if (code->table_bits != 0) {
        unsigned entry, length;
        if (bits->held < BPZ_MAX_CODE_LENGTH) bpzi_bits_fill(bits);
        entry = code->table[bits->window >> (64u - code->table_bits)];
        length = entry & ((1u << BPZ_LENGTH_BITS) - 1u);
        if (length > bits->held)
            return BPZ_ERROR_TRUNCATED; /* found by the zeros after the end, not by bits of the file */
        bpzi_bits_drop(bits, length);
        number = (uint64_t)(entry >> BPZ_LENGTH_BITS) << code->raw_bits;
    }
    if (code->raw_bits != 0) {
        const bpz_status status = bpzi_bits_read(bits, code->raw_bits, &raw);
        if (status != BPZ_OK) return status;
        number += raw;
    }
    if (number > UINT32_MAX) return BPZ_ERROR_CORRUPT;
    *value = (uint32_t)number;
    return BPZ_OK;
}

#endif /* BPZ_CODE_H */
