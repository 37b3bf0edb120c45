/* weights.h - private: a network's weights out of the .bpz, on whatever processor they are wanted. */
#ifndef BAYESPRESS_WEIGHTS_H
#define BAYESPRESS_WEIGHTS_H

#include "bayespress.h"
#include "bpz.h"
#include "model.h"

/* Where compressed sparse rows go; each array is as long as the parameter's bpi_sparse says. */
typedef struct bpi_rows {
    void *values, *input_offsets;
    uint32_t *rows;     /* one more than the weight has */
    float *value_table; /* bpi_value_table_size */
    uint32_t *columns;  /* scratch, one an entry */
} bpi_rows;

/* Floats of a sparse weight's `meaning`. */
static inline size_t bpi_value_table_size(const bpi_sparse *sparse) { return sparse->stored == BP_LEVELS ? 256u : 1u; }

/* The tensor of a parameter. BP_ERROR_MISMATCH where there is none, or of another shape. */
bp_status bpi_find_weight(const bpz_file *file, const bpi_parameter *parameter, bpz_tensor *tensor, bpz_status *why);

/* Decode it to rows. BP_ERROR_MISMATCH for a tensor that has not these rows, more entries than there is room for, or
 * levels that are not of a grid where a grid's are wanted. */
bp_status bpi_decode_rows(const bpz_file *file, const bpz_tensor *tensor, const bpi_parameter *parameter,
                          const bpi_rows *into, void *workspace, size_t workspace_size, bpz_status *why);

#endif /* BAYESPRESS_WEIGHTS_H */
