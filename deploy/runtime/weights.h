/* weights.h - private: takes the weights of a network out of a .bpz, for the processor and for GPUs. */
#ifndef BAYESPRESS_WEIGHTS_H
#define BAYESPRESS_WEIGHTS_H

#include "bayespress.h"
#include "bpz.h"
#include "model.h"

/* Where a sparse weight goes; each array has the length that bpi_sparse says. */
typedef struct bpi_rows {
    void *values, *input_offsets;
    uint32_t *rows;     /* row pointers, one more than the weight has rows */
    float *value_table; /* bpi_value_table_size floats */
    uint32_t *columns;  /* scratch memory: one number for each entry */
} bpi_rows;

/* Floats in the value_table of a sparse weight. */
static inline size_t bpi_value_table_size(const bpi_sparse *sparse) { return sparse->stored == BP_LEVELS ? 256u : 1u; }

/* Find the tensor of a parameter. BP_ERROR_MISMATCH when the file has none of this name and shape. `*decode_status`
 * receives the status of the decoder, here and below. */
bp_status bpi_find_weight(const bpz_file *file, const bpi_parameter *parameter, bpz_tensor *tensor,
                          bpz_status *decode_status);

/* Decode a tensor to sparse rows, and compute input offsets and the value table. `workspace` is that of the decoder.
 * BP_ERROR_MISMATCH for another number of rows, for more entries than there is room for, for levels outside int8, and
 * for levels that are not on a grid where a grid's are wanted. BP_ERROR_WEIGHTS for what the decoder rejects. */
bp_status bpi_decode_rows(const bpz_file *file, const bpz_tensor *tensor, const bpi_parameter *parameter,
                          const bpi_rows *into, void *workspace, size_t workspace_size, bpz_status *decode_status);

#endif /* BAYESPRESS_WEIGHTS_H */
