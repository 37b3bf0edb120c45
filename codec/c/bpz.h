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

/* Version of this library; a test compares it with the package's. */
#define BPZ_VERSION_MAJOR 0
#define BPZ_VERSION_MINOR 1
#define BPZ_VERSION_PATCH 0

#define BPZ_MAX_RANK 8
#define BPZ_MAX_NAME 255

/* Fixed numbers: they are printed, stored and compared by other programs. */
typedef enum bpz_status {
    BPZ_OK = 0,
    BPZ_ERROR_NOT_BPZ = 1,          /* the magic bytes are missing */
    BPZ_ERROR_VERSION = 2,          /* a version this decoder does not know */
    BPZ_ERROR_TRUNCATED = 3,        /* the data end before the file does, or a stream before its last symbol */
    BPZ_ERROR_TRAILING = 4,         /* bytes after the end of the file */
    BPZ_ERROR_CHECKSUM = 5,         /* a CRC-32 does not match */
    BPZ_ERROR_CORRUPT = 6,          /* a field outside its range, or fields that contradict each other */
    BPZ_ERROR_BUFFER_TOO_SMALL = 7, /* the caller's output or workspace is too small; the file may be fine */
    BPZ_ERROR_ARGUMENT = 8,         /* NULL, or an index out of range */
    BPZ_ERROR_UNSUPPORTED = 9       /* well-formed, but this call cannot deliver it */
} bpz_status;

/* One fixed English sentence for each status; never NULL. */
const char *bpz_status_text(bpz_status status);

/* What a decoding call writes for each element. */
typedef enum bpz_element {
    BPZ_FLOAT32 = 0, /* the value */
    BPZ_FLOAT16 = 1, /* the value rounded to nearest, ties to even; BPZ_ERROR_UNSUPPORTED above 65504 */
    BPZ_INT8 = 2,    /* the level; BPZ_ERROR_UNSUPPORTED outside -128 to 127 */
    BPZ_INT32 = 3    /* the level */
} bpz_element;

/* An opened file. Fields are private. */
typedef struct bpz_file {
    const uint8_t *directory; /* the file's first bytes, directory_size of them */
    size_t directory_size;
    const uint8_t *window; /* window_size bytes of the file from window_offset on: where sections are looked for */
    uint64_t window_offset;
    size_t window_size;
    uint64_t size;          /* of the whole file */
    uint64_t first_section; /* offsets into the file */
    size_t first_entry;
    uint32_t tensor_count;
    uint32_t is_seekable; /* whether each section has a checksum of its own */
} bpz_file;

/* What is known of a tensor before decoding it. */
typedef struct bpz_tensor {
    char name[BPZ_MAX_NAME + 1]; /* UTF-8, with a NUL behind it and none in it */
    size_t name_length;
    uint32_t rank;
    uint64_t shape[BPZ_MAX_RANK];
    uint64_t count; /* elements: product of the shape, 1 for rank 0 */
    uint64_t rows;  /* the matrix view that CSR speaks of: shape[0], 1 up to rank 1; rows * columns == count */
    uint64_t columns;
    uint64_t nonzero;        /* stored entries that are not zero; count for a raw tensor */
    uint64_t section_offset; /* where in the file its section lies, and how long it is with its checksum */
    uint64_t section_size;
    uint32_t index; /* private, as what follows */
    uint32_t kind;
    size_t next_entry;
    uint32_t name_bytes, shape_bytes, frame_bytes;
} bpz_tensor;

/* Open a file that is in memory, or mapped. Checks magic, version, length, every entry of the directory, and the
 * CRC-32: of the directory where each section has its own, which decoding checks, else of the whole file. Allocates
 * nothing. On failure `file` is unspecified. */
bpz_status bpz_open(bpz_file *file, const void *data, size_t size);

/* Open a seekable file (FORMAT.md, section 3) by its first `size` bytes. When those are too few, BPZ_ERROR_TRUNCATED,
 * and `*needed` receives the number of bytes required: after 18 bytes that of the directory, at most 1.4 MB.
 * BPZ_ERROR_UNSUPPORTED for a file that has to be opened whole. No section can be decoded before bpz_window. */
bpz_status bpz_open_directory(bpz_file *file, const void *data, size_t size, size_t *needed);

/* Size of the file that begins with these bytes, in bytes, according to its directory. No checksum is checked: the size
 * tells a reader of a stream where to stop, and nothing else. BPZ_ERROR_TRUNCATED when the directory is not yet there
 * (at most 1.4 MB). After a failure `*announced` is unspecified. */
bpz_status bpz_announced_size(const void *data, size_t size, uint64_t *announced);

/* From here on sections are found in `data`: `size` bytes of the file from `offset` on. BPZ_ERROR_ARGUMENT when the
 * file does not reach that far. A bpz_file may be copied, to give each thread a window of its own. */
bpz_status bpz_window(bpz_file *file, uint64_t offset, const void *data, size_t size);

/* Size of the whole file as its directory tells it, in bytes. */
uint64_t bpz_file_size(const bpz_file *file);

/* Tensor number `index` (from 0) in file order. Walks the directory; bpz_next is quicker for all of them. */
bpz_status bpz_tensor_at(const bpz_file *file, uint32_t index, bpz_tensor *tensor);

/* The tensor behind `tensor`, in its place; BPZ_ERROR_ARGUMENT behind the last. */
bpz_status bpz_next(const bpz_file *file, bpz_tensor *tensor);

/* The tensor with exactly this name; BPZ_ERROR_ARGUMENT when there is none. */
bpz_status bpz_find(const bpz_file *file, const char *name, size_t name_length, bpz_tensor *tensor);

/* Workspace, in bytes, that any call on any file needs; alignment of a uint64_t. */
size_t bpz_workspace_size(void);

/* Check a section's CRC-32 without decoding it; always BPZ_OK in a file that bpz_open has checked whole. */
bpz_status bpz_check(const bpz_file *file, const bpz_tensor *tensor, void *workspace, size_t workspace_size);

/* All `tensor->count` elements in C order, zeros included. `out_count` is the room in `out`, in elements, which need
 * their natural alignment. BPZ_ERROR_UNSUPPORTED for levels of a raw tensor, unless it holds int8, and for more bytes
 * than the machine can address. */
bpz_status bpz_decode(const bpz_file *file, const bpz_tensor *tensor, bpz_element element, void *out, size_t out_count,
                      void *workspace, size_t workspace_size);

/* The matrix as compressed sparse rows: `row_pointer`, rows + 1 numbers; for each entry its column and its element, in
 * the order of rows and columns. `entries` is the room in the latter two, at least `tensor->nonzero`. An entry's value
 * is zero only where a codebook says so. A tensor without elements has rows + 1 zeros as well. BPZ_ERROR_UNSUPPORTED for a raw
 * tensor, for 2^32 columns (unless there are no elements) or entries, and for arrays that the machine cannot address. */
bpz_status bpz_decode_csr(const bpz_file *file, const bpz_tensor *tensor, bpz_element element, uint32_t *row_pointer,
                          uint32_t *columns, void *values, size_t entries, void *workspace, size_t workspace_size);

#ifdef __cplusplus
}
#endif

#endif /* BPZ_H */
