/* weights.h - private: a network's weights out of the .bpz, on whatever processor they are wanted. */
#ifndef BAYESPRESS_WEIGHTS_H
#define BAYESPRESS_WEIGHTS_H

#include "bayespress.h"
#include "bpz.h"
#include "model.h"

/* Where compressed sparse rows go; each array is as long as the parameter's bp_sparse says. */
typedef struct bp_rows {
    void *values, *places;
    uint32_t *rows;    /* one more than the weight has */
    float *meaning;    /* bp_meaning_count */
    uint32_t *columns; /* scratch, one an entry */
} bp_rows;

/* Floats of a sparse weight's `meaning`. */
static inline size_t bp_meaning_count(const bp_sparse *sparse) {
    return sparse->stored == BP_LEVELS ? 256u : 1u;
}

/* The tensor of a parameter. BP_ERROR_MISMATCH where there is none, or of another shape. */
bp_status bp_find_weight(const bpz_file *file, const bp_parameter *parameter, bpz_tensor *tensor, bpz_status *why);

/* Decode it to rows. BP_ERROR_MISMATCH for a tensor that has not these rows, more entries than there is room for, or
 * levels that are not of a grid where a grid's are wanted. */
bp_status bp_decode_rows(const bpz_file *file, const bpz_tensor *tensor, const bp_parameter *parameter,
                         const bp_rows *into, void *workspace, size_t workspace_size, bpz_status *why);

#endif /* BAYESPRESS_WEIGHTS_H */
