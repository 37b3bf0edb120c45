/* model.h - the tables that the code generator fills: a network as a list of kernel calls over one memory plan.
 *
 * Memory has two regions: `weights`, written by loading and only read afterwards, and `arena`, which a run writes. All
 * offsets are bytes into one of them, multiples of 64. Generated files are trusted: they come from the same
 * build as the kernels.
 */
#ifndef BAYESPRESS_MODEL_H
#define BAYESPRESS_MODEL_H

#include <stddef.h>
#include <stdint.h>

/* ---- the part of TVM's C ABI that kernels are called through (tvm_ffi/c_api.h and dlpack.h) ---- */

typedef struct bpi_dl_tensor {
    void *data;
    struct {
        int32_t type, id;
    } device;
    int32_t ndim;
    struct {
        uint8_t code, bits;
        uint16_t lanes;
    } dtype;
    int64_t *shape;
    int64_t *strides; /* NULL: C order */
    uint64_t byte_offset;
} bpi_dl_tensor;

typedef struct bpi_any {
    int32_t type_index;
    uint32_t zero_padding;
    union {
        int64_t integer;
        double real;
        void *pointer;
    } value;
} bpi_any;

#define BP_DEVICE_CPU     1
#define BP_TYPE_DL_TENSOR 7

typedef int (*bpi_function)(void *self, const bpi_any *arguments, int32_t count, bpi_any *result);

/* ---- the tables ---- */

/* A tensor that a kernel is given: where it lies, its element type as DLPack codes it, and `rank` extents. */
typedef struct bpi_view {
    size_t offset;
    int32_t rank;
    uint8_t in_arena, type_code, type_bits;
    const int64_t *shape;
} bpi_view;

typedef struct bpi_kernel {
    const char *name;
    bpi_function function;
    uint32_t first_view, view_count;
} bpi_kernel;

/* What a sparse weight's values are, and with them its `meaning`: floats, and the float 1; int8_t levels of a grid, and
 * its step; levels of anything else, and the values of all 256 of them, the negative ones behind the others. */
enum { BP_VALUES = 0, BP_GRID_LEVELS = 1, BP_LEVELS = 2 };

/* A weight that is kept as compressed sparse rows: row starts of int32_t, places of int32_t or uint16_t; its values are
 * where its parameter lies. An entry of column c meets the input at c / inner * channel_stride + table[c % inner]. */
typedef struct bpi_sparse {
    size_t input_offsets_offset, rows_offset, value_table_offset;
    uint32_t entries; /* room for so many */
    int stored;
    uint32_t place_size; /* 2 or 4 bytes */
    uint32_t inner, channel_stride;
    const uint32_t *table;
} bpi_sparse;

/* A weight, by its name in the .bpz; in the region of weights. */
typedef struct bpi_parameter {
    const char *name;
    size_t offset;
    uint32_t rank;
    uint32_t shape[8];
    const bpi_sparse *sparse; /* NULL: every element is there */
} bpi_parameter;

/* A number that is part of the graph and not of the weights; in the region of weights all the same. */
typedef struct bpi_constant {
    const void *data;
    size_t size, offset;
} bpi_constant;

typedef struct bpi_model {
    const bpi_parameter *parameters;
    size_t parameter_count;
    const bpi_constant *constants;
    size_t constant_count;
    const bpi_view *views;
    size_t view_count;
    const bpi_kernel *kernels;
    size_t kernel_count;
    size_t once_count; /* so many of them come first and run when the weights are loaded */
    size_t input_offset, input_size, output_offset, output_size; /* sizes in floats */
    size_t weights_size, arena_size;
    size_t scratch_size; /* what the hungriest kernel asks for while it runs */
} bpi_model;

extern const bpi_model bpi_linked_model;

#endif /* BAYESPRESS_MODEL_H */
