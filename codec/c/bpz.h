/* bpz.h - decoder of the .bpz weight format, version 1 (see ../FORMAT.md). C99, freestanding.
 *
 * Memory: the library allocates nothing. The caller owns every buffer; the bytes given to bpz_open must
 * outlive the bpz_file. Threads: a bpz_file is read-only once opened and may be shared; each decoding call
 * needs its own workspace. After a failure the output buffer is unspecified, and nothing outside it was written.
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
#define BPZ_MAX_ELEMENTS 0x7fffffffu

/* Fixed numbers: they are printed, stored and compared by other programs. */
typedef enum bpz_status {
    BPZ_OK = 0,
    BPZ_ERROR_NOT_BPZ = 1,          /* the magic bytes are missing */
    BPZ_ERROR_VERSION = 2,          /* a version this decoder does not know */
    BPZ_ERROR_TRUNCATED = 3,        /* a field or a stream runs past its end */
    BPZ_ERROR_TRAILING = 4,         /* bytes or set bits behind the last thing that belongs there */
    BPZ_ERROR_CHECKSUM = 5,         /* the CRC-32 does not match: some byte was changed, cut or added */
    BPZ_ERROR_CORRUPT = 6,          /* a field outside its range, or fields that contradict each other */
    BPZ_ERROR_BUFFER_TOO_SMALL = 7, /* the caller's output or workspace is too small; the file may be fine */
    BPZ_ERROR_ARGUMENT = 8          /* NULL, a name that is not there, or a call that does not fit the tensor */
} bpz_status;

/* One fixed English sentence for each status; never NULL. */
const char *bpz_status_text(bpz_status status);

/* How a tensor's stored symbols become values. */
typedef enum bpz_kind {
    BPZ_RAW = 0,     /* float32 as they are */
    BPZ_GRID = 1,    /* value = (float)level * step */
    BPZ_CODEBOOK = 2 /* value = codebook[level], codebook[0] = 0 */
} bpz_kind;

/* An opened file. Private but for tensor_count. */
typedef struct bpz_file {
    const uint8_t *data;
    size_t size; /* without the checksum */
    uint32_t tensor_count;
    size_t first_tensor;
} bpz_file;

/* What is known of a tensor before decoding it. */
typedef struct bpz_tensor {
    char name[BPZ_MAX_NAME + 1]; /* UTF-8, terminated */
    size_t name_length;
    bpz_kind kind;
    uint32_t rank;
    uint32_t shape[BPZ_MAX_RANK];
    uint32_t count;         /* elements: product of the shape, 1 for rank 0 */
    uint32_t rows, columns; /* the matrix view that CSR speaks of: one row up to rank 1, else shape[0] rows */
    float step;             /* of a grid */
    uint32_t codebook_size; /* of a codebook, entry 0 included */
    size_t map;             /* private: offset of codebook entry 1 */
    size_t payload;         /* private: offset of the raw values or of the bit stream */
    size_t payload_size;
    size_t next;            /* private: offset of the next record */
} bpz_tensor;

/* Check magic, version and CRC-32, and walk every record's header. Reads each byte of `data` a bounded
 * number of times. On failure `file` is unspecified. */
bpz_status bpz_open(bpz_file *file, const void *data, size_t size);

/* The first tensor, and the one after `tensor` (which it replaces). BPZ_ERROR_ARGUMENT when there is none. */
bpz_status bpz_first(const bpz_file *file, bpz_tensor *tensor);
bpz_status bpz_next(const bpz_file *file, bpz_tensor *tensor);

/* The tensor with exactly this name (terminated). BPZ_ERROR_ARGUMENT when there is none. */
bpz_status bpz_find(const bpz_file *file, const char *name, bpz_tensor *tensor);

/* Workspace, in bytes, that any decoding call on any version 1 file needs; aligned as a uint16_t. */
size_t bpz_workspace_size(void);

/* All `tensor->count` values in C order, zeros included. `out_count` is the room in `out`, in floats. */
bpz_status bpz_decode_f32(const bpz_file *file, const bpz_tensor *tensor, float *out, size_t out_count,
                          void *workspace, size_t workspace_size);

/* The same as integer levels (grid) or codebook indices. BPZ_ERROR_ARGUMENT for a raw tensor. */
bpz_status bpz_decode_levels(const bpz_file *file, const bpz_tensor *tensor, int32_t *out, size_t out_count,
                             void *workspace, size_t workspace_size);

/* Codebook entries, `tensor->codebook_size` floats, entry 0 included. BPZ_ERROR_ARGUMENT without a codebook. */
bpz_status bpz_codebook(const bpz_file *file, const bpz_tensor *tensor, float *out, size_t out_count);

#ifdef __cplusplus
}
#endif

#endif /* BPZ_H */
