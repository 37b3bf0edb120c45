/* checks.h - one tensor through every decoding call, in buffers of exactly the announced size, so that a sanitizer sees
 * the first byte too far; and that the calls agree. What cannot be ends the program with a number of its own.
 */
#ifndef CHECKS_H
#define CHECKS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bpz_levels.h"

/* Of one tensor; `hash` is that of the float32 values as little-endian words (FNV-1a), where they could be decoded. */
typedef struct checked {
    int skipped; /* more elements than `largest` */
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

static void *exactly(size_t size) {
    void *room = malloc(size != 0 ? size : 1);
    if (room == NULL) {
        fprintf(stderr, "no memory for %zu bytes\n", size);
        exit(2);
    }
    return room;
}

/* Sparse rows must agree with the dense values, and be refused when those are. */
static void check_rows(const bpz_file *file, const bpz_tensor *tensor, bpz_status expected, const float *values, void *room) {
    uint32_t *row_pointer = exactly(((size_t)tensor->rows + 1u) * sizeof *row_pointer);
    uint32_t *columns = exactly((size_t)tensor->nonzero * sizeof *columns);
    float *entries = exactly((size_t)tensor->nonzero * sizeof *entries);
    uint64_t row, at = 0;
    const bpz_status status = bpz_decode_csr(file, tensor, row_pointer, columns, entries, (size_t)tensor->nonzero, room,
                                             bpz_workspace_size());
    if (status != BPZ_ERROR_UNSUPPORTED && (status == BPZ_OK) != (expected == BPZ_OK)) exit(8);
    for (row = 0; status == BPZ_OK && row < tensor->rows; row++) {
        uint32_t entry = row_pointer[row];
        uint64_t column;
        for (column = 0; column < tensor->columns; column++, at++) {
            const int stored = entry < row_pointer[row + 1u] && columns[entry] == column;
            if (stored ? memcmp(&entries[entry++], &values[at], sizeof(float)) != 0 : values[at] != 0.0f) exit(9);
        }
        if (entry != row_pointer[row + 1u]) exit(10);
    }
    free(row_pointer);
    free(columns);
    free(entries);
}

static checked check_tensor(const bpz_file *file, uint32_t index, uint64_t largest) {
    bpz_tensor tensor, found;
    bpz_spent spent;
    checked result = {0, BPZ_OK, BPZ_OK, 0};
    int32_t *levels;
    float *values;
    void *room;
    if (bpz_tensor_at(file, index, &tensor) != BPZ_OK) exit(3);
    if (bpz_find(file, tensor.name, tensor.name_length, &found) != BPZ_OK || found.offset != tensor.offset) exit(4);
    if (tensor.rows * tensor.columns != tensor.count || tensor.nonzero > tensor.count) exit(5);
    result.skipped = tensor.count > largest;
    if (result.skipped) return result;
    room = exactly(bpz_workspace_size());
    levels = exactly((size_t)tensor.count * sizeof *levels);
    values = exactly((size_t)tensor.count * sizeof *values);
    result.levels = bpz_decode_levels(file, &tensor, levels, (size_t)tensor.count, room, bpz_workspace_size(), &spent);
    result.values = bpz_decode_f32(file, &tensor, values, (size_t)tensor.count, room, bpz_workspace_size());
    if (tensor.count != 0 && bpz_decode_f32(file, &tensor, values, (size_t)tensor.count - 1u, room,
                                            bpz_workspace_size()) != BPZ_ERROR_BUFFER_TOO_SMALL) {
        exit(6);
    }
    if (result.values == BPZ_OK) {
        /* Again: the call with too little room may have used the buffer. */
        if (bpz_decode_f32(file, &tensor, values, (size_t)tensor.count, room, bpz_workspace_size()) != BPZ_OK) exit(7);
        result.hash = hash_of(values, tensor.count);
    }
    check_rows(file, &tensor, result.values, values, room);
    free(values);
    free(levels);
    free(room);
    return result;
}

#endif /* CHECKS_H */
