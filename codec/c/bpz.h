/* bpz.h - decoder of the .bpz weight format, version 2 (see ../FORMAT.md). C99, freestanding.
 *
 * Memory: the library allocates nothing. The caller owns every buffer; the bytes given to bpz_open must
 * outlive the bpz_file and every bpz_tensor taken from it. Threads: a bpz_file is read-only once opened and
 * may be shared; each decoding call needs its own workspace. After a failure the output buffer is unspecified,
 * nothing outside it was written.
 */
#ifndef BPZ_H
#define BPZ_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BPZ_MAX_RANK 8
#define BPZ_MAX_NAME 255

/* Fixed numbers: they are printed, stored and compared by other programs. */
typedef enum bpz_status {
    BPZ_OK = 0,
    BPZ_ERROR_NOT_BPZ = 1,          /* the magic bytes are missing */
    BPZ_ERROR_VERSION = 2,          /* a version this decoder does not know */
    BPZ_ERROR_TRUNCATED = 3,        /* the data end before the file does, or a stream before its last symbol */
    BPZ_ERROR_TRAILING = 4,         /* bytes after the end of the file */
    BPZ_ERROR_CHECKSUM = 5,         /* the CRC-32 does not match */
    BPZ_ERROR_CORRUPT = 6,          /* a field outside its range, or fields that contradict each other */
    BPZ_ERROR_BUFFER_TOO_SMALL = 7, /* the caller's output or workspace is too small; the file may be fine */
    BPZ_ERROR_ARGUMENT = 8,         /* NULL, or an index out of range */
    BPZ_ERROR_UNSUPPORTED = 9       /* well-formed, but this call cannot deliver it */
} bpz_status;

/* One fixed English sentence for each status; never NULL. */
const char *bpz_status_text(bpz_status status);

/* An opened file. Fields are private. */
typedef struct bpz_file {
    const uint8_t *data;
    size_t size;
    uint32_t tensor_count;
    size_t first_tensor; /* offset of the first tensor's record */
} bpz_file;

/* What is known of a tensor before decoding it. */
typedef struct bpz_tensor {
    char name[BPZ_MAX_NAME + 1]; /* UTF-8, with a NUL behind it and none in it */
    size_t name_length;
    uint32_t rank;
    uint64_t shape[BPZ_MAX_RANK];
    uint64_t count;    /* elements: product of the shape, 1 for rank 0 */
    uint64_t rows;     /* the matrix view that CSR speaks of; rows * columns == count */
    uint64_t columns;
    uint64_t nonzero;  /* stored entries that are not zero; count for a raw tensor */
    size_t offset;     /* private: where the record begins, and how long it is */
    size_t length;
} bpz_tensor;

/* Check magic, version, length and CRC-32, and walk every record once. Allocates nothing. On failure `file` is unspecified. */
bpz_status bpz_open(bpz_file *file, const void *data, size_t size);

/* Tensor number `index` (from 0) in file order. */
bpz_status bpz_tensor_at(const bpz_file *file, uint32_t index, bpz_tensor *tensor);

/* The tensor with exactly this name; BPZ_ERROR_ARGUMENT when there is none. */
bpz_status bpz_find(const bpz_file *file, const char *name, size_t name_length, bpz_tensor *tensor);

/* Workspace, in bytes, that any decoding call on any file needs; alignment of a uint64_t. */
size_t bpz_workspace_size(void);

/* All `tensor->count` values in C order as float32, zeros included. `out_count` is the room in `out`, in floats. */
bpz_status bpz_decode_f32(const bpz_file *file, const bpz_tensor *tensor, float *out, size_t out_count,
                          void *workspace, size_t workspace_size);

/* The matrix as compressed sparse rows: `row_pointer`, rows + 1 numbers; for each entry its column and its value, in
 * the order of rows and columns. `entries` is the room in the latter two, at least `tensor->nonzero`. An entry's value
 * is zero only where a codebook says so. BPZ_ERROR_UNSUPPORTED for a raw tensor. */
bpz_status bpz_decode_csr(const bpz_file *file, const bpz_tensor *tensor, uint32_t *row_pointer, uint32_t *columns,
                          float *values, size_t entries, void *workspace, size_t workspace_size);

#ifdef __cplusplus
}
#endif

#endif /* BPZ_H */
