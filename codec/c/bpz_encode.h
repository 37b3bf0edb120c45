/* bpz_encode.h - encoder of one tensor's bit stream; the decisions come from the caller as a plan.
 *
 * Memory and threads as in bpz.h. The plan is trusted: it is the caller's own, not a file's; still, a plan that
 * cannot represent the symbols is refused, never written wrong.
 */
#ifndef BPZ_ENCODE_H
#define BPZ_ENCODE_H

#include "bpz.h"

#ifdef __cplusplus
extern "C" {
#endif

/* How one stream of symbols is coded; modes as in FORMAT.md. */
typedef struct bpz_stream_plan {
    uint32_t mode;          /* 0 constant, 1 fixed width, 2 Huffman, 3 Exp-Golomb */
    uint32_t parameter;     /* the constant, the width (1 to 32) or the order (0 to 15) */
    uint32_t alphabet;      /* of a Huffman code: symbols 0 to alphabet - 1, 2 to 4096 */
    const uint8_t *lengths; /* of a Huffman code: `alphabet` lengths of 1 to 12, 0 for an absent symbol */
} bpz_stream_plan;

/* How a tensor is coded. */
typedef struct bpz_plan {
    uint32_t row_mask, column_mask; /* 0 none, 1 bits, 2 runs */
    const uint8_t *live_rows;       /* one byte a row, 0 or 1; all 1 without a mask */
    const uint8_t *live_columns;
    uint32_t csr;        /* 1: relative-index CSR, 0: every live element */
    uint32_t index_bits; /* p of CSR, 1 to 12 */
    bpz_stream_plan counts, indices, values;
} bpz_plan;

/* Workspace of bpz_encode in bytes; aligned as a uint16_t. */
size_t bpz_encode_workspace_size(void);

/* Write the bit stream of a matrix of symbols (rows x columns in C order, 0 for a pruned weight) to `out` and
 * its length in bytes to `size`. BPZ_ERROR_BUFFER_TOO_SMALL when `capacity` does not do, BPZ_ERROR_ARGUMENT when
 * the plan cannot represent the symbols (a symbol without a code, a non-zero in a dead row). */
bpz_status bpz_encode(const uint32_t *symbols, uint32_t rows, uint32_t columns, const bpz_plan *plan,
                      uint8_t *out, size_t capacity, size_t *size, void *workspace, size_t workspace_size);

#ifdef __cplusplus
}
#endif

#endif /* BPZ_ENCODE_H */
