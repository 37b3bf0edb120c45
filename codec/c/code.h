/* code.h - private: how one stream of numbers is coded, fixed-width or Huffman (FORMAT.md, section 7). */
#ifndef BPZ_CODE_H
#define BPZ_CODE_H

#include "bits.h"

#define BPZ_MAX_CODE_LENGTH 12u
#define BPZ_MAX_SYMBOLS     4096u
#define BPZ_LENGTH_BITS     4u /* a table entry is symbol << 4 | length */
#define BPZ_TABLE_ENTRIES   (1u << BPZ_MAX_CODE_LENGTH)

BPZ_STATIC_ASSERT(length_fits_its_field, BPZ_MAX_CODE_LENGTH < 1u << BPZ_LENGTH_BITS);
BPZ_STATIC_ASSERT(entry_fits_16_bits, (BPZ_MAX_SYMBOLS - 1u) << BPZ_LENGTH_BITS <= 0xFFFFu);
BPZ_STATIC_ASSERT(each_symbol_has_a_leaf, BPZ_MAX_SYMBOLS <= BPZ_TABLE_ENTRIES);

typedef struct bpzi_code {
    const uint16_t *table; /* 2^table_bits entries, indexed by the next table_bits bits */
    uint32_t base;         /* fixed-width: what the raw bits are added to */
    unsigned table_bits;   /* longest code in use; 0 for fixed-width */
    unsigned raw_bits;     /* plain bits after the Huffman code, or all of the number's bits */
    uint64_t largest;      /* number that the code can spell; a reader refuses those above UINT32_MAX */
} bpzi_code;

/* Read a code's description. `table` has BPZ_TABLE_ENTRIES of room, `lengths` BPZ_MAX_SYMBOLS. */
bpz_status bpzi_code_read(bpzi_code *code, bpzi_bits *bits, uint16_t *table, uint8_t *lengths);

/* The next number of the stream. */
static inline bpz_status bpzi_code_next(const bpzi_code *code, bpzi_bits *bits, uint32_t *value) {
    uint64_t number = code->base;
    uint32_t raw;
    if (code->table_bits != 0) {
        unsigned entry, length;
        if (bits->held < BPZ_MAX_CODE_LENGTH) bpzi_bits_fill(bits);
        entry = code->table[bits->window >> (64u - code->table_bits)];
        length = entry & ((1u << BPZ_LENGTH_BITS) - 1u);
        if (length > bits->held) return BPZ_ERROR_TRUNCATED; /* the zeros below the window are not the file's */
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
