/* model.h - private: the tables that the code generator fills (deploy/compile). A network is a list of kernel calls
 * over one plan of memory.
 *
 * Why tables. The compiler lowers a network without control flow to a fixed sequence of kernels, with all shapes known
 * and all buffers placed. What is left to do at run time is to call functions in order; a table does this in a few
 * hundred bytes, where an interpreter for graphs would take megabytes.
 *
 * Memory has two regions. `weights` is written when weights are loaded and only read afterwards, so that forks share
 * it. `arena` is written by every run. All offsets are bytes into one of them, and multiples of 64 (BP_ALIGNMENT).
 *
 * Generated files are trusted: they come from the same build as the kernels.
 */
#ifndef BAYESPRESS_MODEL_H
#define BAYESPRESS_MODEL_H

#include <stddef.h>
#include <stdint.h>

/* ---- the part of TVM's C ABI that kernels are called by (tvm_ffi/c_api.h and dlpack.h) ----
 *
 * The layouts are repeated here, so that no header of TVM is needed to build a bundle. */

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

/* An argument of a kernel: a tensor at `offset` of a region, its element type by the codes of DLPack, and `rank`
 * extents. */
typedef struct bpi_view {
    size_t offset;
    int32_t rank;
    uint8_t in_arena, type_code, type_bits;
    const int64_t *shape;
} bpi_view;

/* A call of a kernel, with view_count arguments from first_view on. */
typedef struct bpi_kernel {
    const char *name;
    bpi_function function;
    uint32_t first_view, view_count;
} bpi_kernel;

/* What the values of a sparse weight are, and its value_table:
 *
 *     BP_VALUES       floats; the table is the float 1
 *     BP_GRID_LEVELS  int8_t levels of a grid; the table is its step
 *     BP_LEVELS       int8_t levels of another value map; the table has the values of all 256 levels, indexed by the
 *                     level as a uint8_t */
enum { BP_VALUES = 0, BP_GRID_LEVELS = 1, BP_LEVELS = 2 };

/* A weight that stays sparse on the device: row pointers of int32_t, an input offset for each entry, and its value.
 * Kernels do not need the column of an entry but the element of the input that it is multiplied with, which is computed
 * once, when weights are loaded: column c meets the input at c / inner * channel_stride + table[c % inner]. The values
 * lie at the offset of the parameter. */
typedef struct bpi_sparse {
    size_t input_offsets_offset, rows_offset, value_table_offset;
    uint32_t entries;     /* entries that there is room for */
    int stored;           /* BP_VALUES, BP_GRID_LEVELS or BP_LEVELS */
    uint32_t offset_size; /* bytes of an input offset: 2 (uint16_t) or 4 (int32_t) */
    uint32_t inner, channel_stride;
    const uint32_t *table;
} bpi_sparse;

/* A weight, by its name in the .bpz. It lies in the region of weights. */
typedef struct bpi_parameter {
    const char *name;
    size_t offset;
    uint32_t rank;
    uint32_t shape[8];
    const bpi_sparse *sparse; /* NULL for a dense weight: all elements as float32 */
} bpi_parameter;

/* Numbers that belong to the graph and not to the .bpz. They are copied into the region of weights, where kernels find
 * them. */
typedef struct bpi_constant {
    const void *data;
    size_t size, offset;
} bpi_constant;

/* A network. The first once_count kernels depend on weights alone, and run when these are loaded; the others make up a
 * run. */
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
    size_t scratch_size; /* the most that one kernel asks for while it runs */
} bpi_model;

/* Defined in the generated source that is linked in. */
extern const bpi_model bpi_linked_model;

#endif /* BAYESPRESS_MODEL_H */
