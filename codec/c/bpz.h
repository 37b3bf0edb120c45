/* bpz.h - decodes the .bpz weight format, version 2 (../FORMAT.md). C99, freestanding: memcpy and memset are all that
 * it asks of the C library.
 *
 *     bpz_file file;
 *     bpz_tensor tensor;
 *     static uint64_t workspace[64 * 1024 / 8];          (bpz_workspace_size() bytes at least)
 *     status = bpz_open(&file, data, size);              (checks the file)
 *     status = bpz_find(&file, "fc.weight", 9, &tensor); (fills in name, shape and counts)
 *     status = bpz_decode(&file, &tensor, BPZ_FLOAT32, out, tensor.count, workspace, sizeof workspace);
 *
 * These rules hold for every function, unless its comment says otherwise.
 *
 * Ownership  The library allocates nothing and keeps nothing. The caller owns every buffer. The bytes given to bpz_open
 *            must stay in place and unchanged as long as the bpz_file, and the bpz_tensor values taken from it, are in
 *            use.
 * NULL       A pointer that is NULL is BPZ_ERROR_ARGUMENT, also for an output of no elements.
 * Threads    A bpz_file is not changed after it was opened (but by bpz_window), so threads may share it. Each thread
 *            that decodes needs a workspace of its own.
 * Failure    Every function returns BPZ_OK or what went wrong. After a failure the contents of its outputs are
 *            unspecified; nothing outside of them was written. A bpz_file that was not opened must not be used.
 * Trust      The bytes of a file may be hostile. Pointers, sizes and the two structures are the caller's, and are
 *            trusted. ../SECURITY.md has the guarantees.
 * Units      Sizes are in bytes, counts in elements.
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

#define BPZ_MAX_RANK 8   /* axes of a tensor */
#define BPZ_MAX_NAME 255 /* bytes of a name */

/* What a function returns. The numbers never change: other programs print, store and compare them. */
typedef enum bpz_status {
    BPZ_OK = 0,
    BPZ_ERROR_NOT_BPZ = 1,          /* the magic bytes are missing */
    BPZ_ERROR_VERSION = 2,          /* a version that this decoder does not know */
    BPZ_ERROR_TRUNCATED = 3,        /* the data end before the file does, or a stream before its last symbol */
    BPZ_ERROR_TRAILING = 4,         /* bytes after the end of the file */
    BPZ_ERROR_CHECKSUM = 5,         /* a CRC-32 does not match */
    BPZ_ERROR_CORRUPT = 6,          /* a field outside its range, or fields that contradict each other */
    BPZ_ERROR_BUFFER_TOO_SMALL = 7, /* the caller's output or workspace is too small; the file may be sound */
    BPZ_ERROR_ARGUMENT = 8,         /* NULL, misaligned, or out of range */
    BPZ_ERROR_UNSUPPORTED = 9       /* a sound file, of which this call cannot deliver what it was asked for */
} bpz_status;

/* The status in English: a constant string, the same on every call; never NULL, also for a number that is no status. */
const char *bpz_status_text(bpz_status status);

/* What a decoding call writes for each element, in the byte order of the machine. */
typedef enum bpz_element {
    BPZ_FLOAT32 = 0, /* the value */
    BPZ_FLOAT16 = 1, /* the value rounded to nearest, ties to even; BPZ_ERROR_UNSUPPORTED above 65504 */
    BPZ_INT8 = 2,    /* the level; BPZ_ERROR_UNSUPPORTED outside -128 to 127 */
    BPZ_INT32 = 3    /* the level */
} bpz_element;

/* An opened file. The fields are private, but for tensor_count and is_seekable, which may be read. It may be copied. */
typedef struct bpz_file {
    const uint8_t *directory; /* the first directory_size bytes of the file */
    size_t directory_size;
    const uint8_t *window; /* window_size bytes of the file from window_offset on: where its sections are found */
    uint64_t window_offset;
    size_t window_size;
    uint64_t size;          /* bytes of the whole file */
    uint64_t first_section; /* offset of the first section in the file */
    size_t first_entry;
    uint32_t tensor_count;
    uint32_t is_seekable; /* whether each section has a checksum of its own (FORMAT.md, section 3.1) */
} bpz_file;

/* What is known of a tensor before it is decoded. Filled by bpz_tensor_at, bpz_next and bpz_find; to be used with the
 * file that it was taken from, and not to be changed. It may be copied. */
typedef struct bpz_tensor {
    char name[BPZ_MAX_NAME + 1]; /* UTF-8, with a NUL after it and none in it */
    size_t name_length;          /* bytes, without the NUL */
    uint32_t rank;
    uint64_t shape[BPZ_MAX_RANK];
    uint64_t count; /* elements: the product of the shape, 1 for rank 0 */
    uint64_t rows;  /* of its matrix: shape[0], or 1 up to rank 1; rows * columns == count */
    uint64_t columns;
    uint64_t nonzero;        /* elements whose level is not 0; count for a raw tensor */
    uint64_t section_offset; /* where its section begins in the file */
    uint64_t section_size;   /* bytes of the section, with its checksum in a seekable file */
    uint32_t index;          /* in file order, from 0 */
    uint32_t kind;           /* FORMAT.md, section 4.1; private, as all that follows */
    size_t next_entry;
    uint32_t name_bytes, shape_bytes, frame_bytes;
} bpz_tensor;

/* Open a file that is in memory, or mapped into it: `size` bytes at `data`, aligned in any way. Checks magic, version,
 * length, every directory entry, and a checksum: that of the directory in a seekable file, whose sections are verified
 * when they are decoded, and that of the whole file in others. Takes time in the order of the bytes that it checks.
 *
 * BPZ_ERROR_TRUNCATED and BPZ_ERROR_TRAILING when the directory says that the file is longer, or shorter, than
 * `size`. */
bpz_status bpz_open(bpz_file *file, const void *data, size_t size);

/* Open a seekable file by its first `size` bytes, for a reader of a stream. Afterwards tensors can be listed; to decode
 * one, give its section to bpz_window.
 *
 * BPZ_ERROR_TRUNCATED when `size` is too small, and then `*needed` receives the number of bytes required: 18 while the
 * size of the directory is not known, otherwise that of everything before the first section, at most 1.4 MB. On success
 * `*needed` receives the latter too. BPZ_ERROR_UNSUPPORTED for a file that is not seekable and has to be opened
 * whole. */
bpz_status bpz_open_directory(bpz_file *file, const void *data, size_t size, size_t *needed);

/* The size of the file that begins with these bytes, as its directory says: `*announced` receives it. No checksum is
 * verified, so the size tells a reader of a stream where to stop, and nothing else (FORMAT.md, section 3.2).
 * BPZ_ERROR_TRUNCATED when the directory is not complete; it takes at most 1.4 MB. */
bpz_status bpz_announced_size(const void *data, size_t size, uint64_t *announced);

/* From now on look for sections in `data`: `size` bytes of the file, from `offset` on. The bytes before this call need
 * not stay, but those given to bpz_open_directory must. BPZ_ERROR_ARGUMENT, and the file unchanged, when the file does
 * not reach so far. A decoding call returns BPZ_ERROR_ARGUMENT for a section that is not wholly in the window. This
 * changes `file`: threads that need windows of their own use copies of it. */
bpz_status bpz_window(bpz_file *file, uint64_t offset, const void *data, size_t size);

/* The size of the whole file, as its directory says; 0 for NULL. */
uint64_t bpz_file_size(const bpz_file *file);

/* Tensor number `index` in file order, from 0. Walks through the directory from its beginning: to list all tensors, get
 * number 0 and go on with bpz_next. BPZ_ERROR_ARGUMENT when there is no such tensor. */
bpz_status bpz_tensor_at(const bpz_file *file, uint32_t index, bpz_tensor *tensor);

/* Replace `tensor` by the one after it in file order. BPZ_ERROR_ARGUMENT, and `tensor` unchanged, after the last
 * one. */
bpz_status bpz_next(const bpz_file *file, bpz_tensor *tensor);

/* The tensor with exactly this name of `name_length` bytes, without a NUL. Walks through the directory.
 * BPZ_ERROR_ARGUMENT when there is none. */
bpz_status bpz_find(const bpz_file *file, const char *name, size_t name_length, bpz_tensor *tensor);

/* The size of the workspace that the functions below need, for any tensor of any file; less than 64 kB. A workspace
 * needs the alignment of a uint64_t. Its contents do not matter before a call, and mean nothing after it. A smaller one
 * is BPZ_ERROR_BUFFER_TOO_SMALL, a misaligned one BPZ_ERROR_ARGUMENT. */
size_t bpz_workspace_size(void);

/* Verify the checksum of a section and read its value map, without decoding it. In a file that is not seekable bpz_open
 * has verified the checksum. */
bpz_status bpz_check(const bpz_file *file, const bpz_tensor *tensor, void *workspace, size_t workspace_size);

/* Decode all `tensor->count` elements, zeros included, in C order. `out` is an array of `out_count` elements of the
 * type that `element` names, with the alignment of that type; only the first `tensor->count` are written.
 *
 * BPZ_ERROR_BUFFER_TOO_SMALL when `out_count` is too small; nothing is written then. BPZ_ERROR_UNSUPPORTED when an
 * element does not fit the type; for levels of a raw tensor, unless its plain values are int8; and for more bytes than
 * the machine can address. */
bpz_status bpz_decode(const bpz_file *file, const bpz_tensor *tensor, bpz_element element, void *out, size_t out_count,
                      void *workspace, size_t workspace_size);

/* Decode the matrix of a quantised tensor as compressed sparse rows: its non-zeros, in the order of rows and columns.
 *
 * row_pointer  tensor->rows + 1 numbers: row r has the entries row_pointer[r] to row_pointer[r + 1] - 1. The caller
 *              makes sure that there is room; a tensor without elements may have 2^48 - 1 rows.
 * columns      the column of each entry; room for `entries`
 * values       the element of each entry, as in bpz_decode; room for `entries`
 * entries      at least tensor->nonzero, or BPZ_ERROR_BUFFER_TOO_SMALL
 *
 * The value of an entry can be 0 where a codebook says so. BPZ_ERROR_UNSUPPORTED for a raw tensor, for 2^32 columns or
 * more (unless there are no elements), for 2^32 entries or more, for an element that does not fit, and for arrays that
 * the machine cannot address. */
bpz_status bpz_decode_csr(const bpz_file *file, const bpz_tensor *tensor, bpz_element element, uint32_t *row_pointer,
                          uint32_t *columns, void *values, size_t entries, void *workspace, size_t workspace_size);

#ifdef __cplusplus
}
#endif

#endif /* BPZ_H */
