/* checks.h - decodes one tensor with every decoding call, in buffers of exactly the size that is needed, and checks
 * that the calls agree. A contradiction ends the program with an exit status of its own.
 */
#ifndef CHECKS_H
#define CHECKS_H
#include <string.h>

#include "bpz_levels.h"
#include "buffers.h"

/* The result for one tensor. `hash` is FNV-1a over its float32 values as little-endian words, when they could be
 * decoded. */
typedef struct checked {
    int skipped; /* more elements, or rows, than `largest` */
    bpz_status levels, values;
    uint64_t hash;
} checked;

static uint64_t hash_of(const float *values, uint64_t count) {
    uint64_t hash = 14695981039346656037u, at;
    unsigned byte;
    for (at = 0; at < count; at++) {
        uint32_t word;
        memcpy(&word, &values[at], sizeof word);
        for (byte = 0; byte < 4; byte++) hash = (hash ^ (word >> (8u * byte) & 255u)) * 1099511628211u;
    }
    return hash;
}

/* Sparse rows of one type of element must agree with the dense elements, and be rejected when those are. */
static void check_rows(const bpz_file *file, const bpz_tensor *tensor, bpz_element element, size_t width,
                       bpz_status expected, const uint8_t *dense, void *workspace) {
    uint32_t *row_pointer = exact_buffer(((size_t)tensor->rows + 1u) * sizeof *row_pointer);
    uint32_t *columns = exact_buffer((size_t)tensor->nonzero * sizeof *columns);
    uint8_t *entries = exact_buffer((size_t)tensor->nonzero * width);
    uint64_t row, at = 0;
    const bpz_status status = bpz_decode_csr(file, tensor, element, row_pointer, columns, entries,
                                             (size_t)tensor->nonzero, workspace, bpz_workspace_size());
    if (status != BPZ_ERROR_UNSUPPORTED && (status == BPZ_OK) != (expected == BPZ_OK)) exit(8);
    for (row = 0; status == BPZ_OK && row < tensor->rows; row++) {
        uint32_t entry = row_pointer[row];
        uint64_t column;
        for (column = 0; column < tensor->columns; column++, at += width) {
            static const uint8_t zero[4] = {0, 0, 0, 0};
            const int stored = entry < row_pointer[row + 1u] && columns[entry] == column;
            const uint8_t *const found = stored ? entries + width * entry++ : zero;
            if (memcmp(found, dense + at, width) != 0) exit(9);
        }
        if (entry != row_pointer[row + 1u]) exit(10);
    }
    release_buffer(row_pointer, ((size_t)tensor->rows + 1u) * sizeof *row_pointer);
    release_buffer(columns, (size_t)tensor->nonzero * sizeof *columns);
    release_buffer(entries, (size_t)tensor->nonzero * width);
}

/* Decode to one type of element, dense and as sparse rows; the dense values of BPZ_FLOAT32 are hashed. */
static bpz_status check_element(const bpz_file *file, const bpz_tensor *tensor, bpz_element element, size_t width,
                                void *workspace, uint64_t *hash) {
    uint8_t *out = exact_buffer((size_t)tensor->count * width);
    bpz_status again;
    const bpz_status status =
        bpz_decode(file, tensor, element, out, (size_t)tensor->count, workspace, bpz_workspace_size());
    if (tensor->count != 0 && bpz_decode(file, tensor, element, out, (size_t)tensor->count - 1u, workspace,
                                         bpz_workspace_size()) != BPZ_ERROR_BUFFER_TOO_SMALL) {
        exit(6);
    }
    /* Once more: the call with too small a workspace may have written to the buffer. */
    again = bpz_decode(file, tensor, element, out, (size_t)tensor->count, workspace, bpz_workspace_size());
    if (again != status) exit(7);
    if (status == BPZ_OK && hash != NULL) *hash = hash_of((const float *)(const void *)out, tensor->count);
    check_rows(file, tensor, element, width, status, out, workspace);
    release_buffer(out, (size_t)tensor->count * width);
    return status;
}

/* With only the bytes of one section in memory the result must be the same. */
static void check_window(const bpz_file *file, const bpz_tensor *tensor, bpz_status expected, uint64_t hash,
                         void *workspace) {
    const size_t size = (size_t)tensor->section_size;
    uint8_t *section = exact_buffer(size);
    float *values = exact_buffer((size_t)tensor->count * sizeof *values);
    bpz_file other = *file;
    if (size != 0) memcpy(section, file->window + tensor->section_offset, size);
    if (bpz_window(&other, tensor->section_offset, section, size) != BPZ_OK) exit(11);
    if (bpz_decode(&other, tensor, BPZ_FLOAT32, values, (size_t)tensor->count, workspace, bpz_workspace_size()) !=
        expected) {
        exit(12);
    }
    if (expected == BPZ_OK && hash_of(values, tensor->count) != hash) exit(13);
    if (bpz_window(&other, bpz_file_size(file), section, 1) != BPZ_ERROR_ARGUMENT) exit(14);
    release_buffer(values, (size_t)tensor->count * sizeof *values);
    release_buffer(section, size);
}

static checked check_tensor(const bpz_file *file, uint32_t index, uint64_t largest) {
    bpz_tensor tensor, found;
    bpz_bit_usage bit_usage;
    checked result = {0, BPZ_OK, BPZ_OK, 0};
    int32_t *levels;
    void *workspace;
    if (bpz_tensor_at(file, index, &tensor) != BPZ_OK) exit(3);
    if (bpz_find(file, tensor.name, tensor.name_length, &found) != BPZ_OK || found.index != index) exit(4);
    if (bpz_next(file, &found) != (index + 1u < file->tensor_count ? BPZ_OK : BPZ_ERROR_ARGUMENT)) exit(15);
    if (tensor.rows * tensor.columns != tensor.count || tensor.nonzero > tensor.count) exit(5);
    result.skipped = tensor.count > largest || tensor.rows > largest; /* a tensor without columns may have many rows */
    if (result.skipped) return result;
    workspace = exact_buffer(bpz_workspace_size());
    levels = exact_buffer((size_t)tensor.count * sizeof *levels);
    result.levels =
        bpz_decode_with_usage(file, &tensor, levels, (size_t)tensor.count, workspace, bpz_workspace_size(), &bit_usage);
    result.values = check_element(file, &tensor, BPZ_FLOAT32, 4, workspace, &result.hash);
    (void)check_element(file, &tensor, BPZ_FLOAT16, 2, workspace, NULL);
    (void)check_element(file, &tensor, BPZ_INT8, 1, workspace, NULL);
    (void)check_element(file, &tensor, BPZ_INT32, 4, workspace, NULL);
    if (bpz_check(file, &tensor, workspace, bpz_workspace_size()) != BPZ_OK && result.values == BPZ_OK) exit(16);
    check_window(file, &tensor, result.values, result.hash, workspace);
    release_buffer(levels, (size_t)tensor.count * sizeof *levels);
    release_buffer(workspace, bpz_workspace_size());
    return result;
}

#endif /* CHECKS_H */
