/* verdicts.c - prints all results of the decoder for files from standard input, and for wrong calls. Tests compare them
 * with those of a decoder that lacks one check (tests/codec/test_codec_mutants.py).
 *
 * In: for each file its length as 4 bytes, little-endian, and its bytes. Out: a line for the wrong calls, made with the
 * first file, and a line for each file. Buffers end at an unmapped page: a read after their end ends the program.
 */
#include <inttypes.h>

#include "bpz_levels.h"
#include "number.h"
#include "buffers.h"

#define LARGEST (1u << 16) /* elements, and rows, of tensors that are decoded */

static const bpz_element elements[] = {BPZ_FLOAT32, BPZ_FLOAT16, BPZ_INT8, BPZ_INT32};
static const size_t widths[] = {4, 2, 1, 4};

static uint64_t hash_bytes(const void *bytes, size_t size, uint64_t hash) {
    const uint8_t *at = bytes;
    for (; size != 0; size--) hash = (hash ^ *at++) * 1099511628211u;
    return hash;
}

static void print(bpz_status status, uint64_t hash) {
    printf(" %d", (int)status);
    if (status == BPZ_OK) printf(":%" PRIx64, hash);
}

static void print_dense(const bpz_file *file, const bpz_tensor *tensor, void *workspace) {
    unsigned which;
    for (which = 0; which < 4; which++) {
        const size_t size = (size_t)tensor->count * widths[which];
        uint8_t *const out = exact_buffer(size);
        const bpz_status status =
            bpz_decode(file, tensor, elements[which], out, (size_t)tensor->count, workspace, bpz_workspace_size());
        print(status, hash_bytes(out, status == BPZ_OK ? size : 0, 1));
        release_buffer(out, size);
    }
}

static void print_rows(const bpz_file *file, const bpz_tensor *tensor, void *workspace) {
    const size_t rows = ((size_t)tensor->rows + 1u) * 4u, entries = (size_t)tensor->nonzero;
    unsigned which;
    for (which = 0; which < 4; which++) {
        uint32_t *const row_pointer = exact_buffer(rows), *const columns = exact_buffer(entries * 4u);
        uint8_t *const out = exact_buffer(entries * widths[which]);
        uint64_t hash = 1;
        const bpz_status status = bpz_decode_csr(file, tensor, elements[which], row_pointer, columns, out, entries,
                                                 workspace, bpz_workspace_size());
        if (status == BPZ_OK) {
            hash = hash_bytes(row_pointer, rows, hash);
            hash = hash_bytes(columns, entries * 4u, hash);
            hash = hash_bytes(out, entries * widths[which], hash);
        }
        print(status, hash);
        release_buffer(row_pointer, rows);
        release_buffer(columns, entries * 4u);
        release_buffer(out, entries * widths[which]);
    }
}

static void print_tensor(const bpz_file *file, const bpz_tensor *tensor) {
    void *const workspace = exact_buffer(bpz_workspace_size());
    bpz_value_map map;
    bpz_status status;
    printf(" | %s %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64, tensor->name, tensor->count, tensor->rows,
           tensor->columns, tensor->nonzero);
    print(bpz_check(file, tensor, workspace, bpz_workspace_size()), 0);
    status = bpz_value_map_of(file, tensor, &map, workspace, bpz_workspace_size());
    print(status, status == BPZ_OK ? map.kind : 0);
    if (status == BPZ_OK) {
        static const int32_t levels[] = {0, 1, -1, 2, 7, 8, 300, 65536, INT32_MAX, INT32_MIN};
        unsigned which;
        for (which = 0; which < sizeof levels / sizeof levels[0]; which++) {
            float value = 0;
            const bpz_status found = bpz_level_value(&map, levels[which], &value);
            print(found, found == BPZ_OK ? hash_bytes(&value, sizeof value, 1) : 0);
        }
    }
    if (tensor->count <= LARGEST) {
        const size_t size = (size_t)tensor->count * 4u;
        int32_t *const levels = exact_buffer(size);
        bpz_bit_usage bit_usage;
        print_dense(file, tensor, workspace);
        status = bpz_decode_with_usage(file, tensor, levels, (size_t)tensor->count, workspace, bpz_workspace_size(),
                                       &bit_usage);
        print(status, status == BPZ_OK ? hash_bytes(&bit_usage, sizeof bit_usage, hash_bytes(levels, size, 1)) : 0);
        release_buffer(levels, size);
    }
    if (tensor->rows < LARGEST && tensor->nonzero <= LARGEST) print_rows(file, tensor, workspace);
    release_buffer(workspace, bpz_workspace_size());
}

static void print_file(const uint8_t *data, size_t size) {
    bpz_file file, front;
    bpz_tensor tensor;
    uint64_t announced = 0;
    size_t needed = 0;
    uint32_t index;
    bpz_status status = bpz_open_directory(&front, data, size < 18 ? size : 18, &needed);
    const bpz_status opened = bpz_open(&file, data, size);
    print(opened, 0);
    print(status, needed);
    if (status == BPZ_ERROR_TRUNCATED) {
        printf(" %zu", needed);
        print(bpz_open_directory(&front, data, needed < size ? needed : size, &needed), needed);
    }
    status = bpz_announced_size(data, size, &announced);
    print(status, announced);
    for (index = 0; opened == BPZ_OK && index < file.tensor_count && index < 8u; index++) {
        if (bpz_tensor_at(&file, index, &tensor) != BPZ_OK) exit(3);
        print_tensor(&file, &tensor);
    }
    printf("\n");
}

/* Wrong calls, which a decoder must reject whatever the file is. The file is valid and seekable, and has two tensors: a
 * grid and plain values. */
static void print_misuse(const uint8_t *data, size_t size) {
    uint64_t workspace[8192];
    float out[64];
    uint32_t rows[64], columns[64];
    bpz_file file, other;
    bpz_tensor tensor, raw, wide;
    bpz_value_map map;
    bpz_bit_usage bit_usage;
    uint64_t announced;
    size_t needed;
    const size_t all = bpz_workspace_size();
    if (all > sizeof workspace || bpz_open(&file, data, size) != BPZ_OK || bpz_tensor_at(&file, 0, &tensor) != BPZ_OK)
        exit(4);
    if (bpz_tensor_at(&file, 1, &raw) != BPZ_OK) exit(5);
#define SHOW(call) print(call, 0)
    SHOW(bpz_open(NULL, data, size));
    SHOW(bpz_open(&other, NULL, size));
    SHOW(bpz_open_directory(NULL, data, size, &needed));
    SHOW(bpz_open_directory(&other, NULL, size, &needed));
    SHOW(bpz_open_directory(&other, data, size, NULL));
    SHOW(bpz_announced_size(NULL, size, &announced));
    SHOW(bpz_announced_size(data, size, NULL));
    other = file;
    SHOW(bpz_window(NULL, 0, data, size));
    SHOW(bpz_window(&other, 0, NULL, size));
    SHOW(bpz_window(&other, size + 1u, data, 0));
    SHOW(bpz_window(&other, 1, data, size));
    SHOW(bpz_tensor_at(NULL, 0, &wide));
    SHOW(bpz_tensor_at(&file, 0, NULL));
    SHOW(bpz_tensor_at(&file, file.tensor_count, &wide));
    SHOW(bpz_next(NULL, &tensor));
    SHOW(bpz_next(&file, NULL));
    wide = raw;
    SHOW(bpz_next(&file, &wide));
    SHOW(bpz_find(NULL, "w", 1, &wide));
    SHOW(bpz_find(&file, NULL, 1, &wide));
    SHOW(bpz_find(&file, "w", 1, NULL));
    SHOW(bpz_find(&file, "no such name", 12, &wide));
    printf(" %" PRIu64, bpz_file_size(NULL));
    { /* no file reaches this limit: every field has a lower one */
        static const uint8_t above[] = {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F};
        size_t offset = 0;
        SHOW(bpzi_varint_read(above, &offset, sizeof above, &announced));
    }
    SHOW(bpz_check(NULL, &tensor, workspace, all));
    SHOW(bpz_check(&file, NULL, workspace, all));
    SHOW(bpz_check(&file, &tensor, NULL, all));
    SHOW(bpz_check(&file, &tensor, (uint8_t *)workspace + 4, all));
    SHOW(bpz_check(&file, &tensor, workspace, all - 1u));
    SHOW(bpz_value_map_of(&file, &tensor, NULL, workspace, all));
    SHOW(bpz_value_map_of(NULL, &tensor, &map, workspace, all));
    SHOW(bpz_level_value(NULL, 1, out));
    if (bpz_value_map_of(&file, &tensor, &map, workspace, all) != BPZ_OK) exit(6);
    SHOW(bpz_level_value(&map, 1, NULL));
    if (bpz_value_map_of(&file, &raw, &map, workspace, all) != BPZ_OK) exit(7);
    SHOW(bpz_level_value(&map, 1, out));
    SHOW(bpz_decode(NULL, &tensor, BPZ_FLOAT32, out, 64, workspace, all));
    SHOW(bpz_decode(&file, &tensor, BPZ_FLOAT32, NULL, 64, workspace, all));
    SHOW(bpz_decode(&file, &tensor, (bpz_element)4, out, 64, workspace, all));
    SHOW(bpz_decode(&file, &tensor, BPZ_FLOAT32, (uint8_t *)out + 2, 60, workspace, all));
    SHOW(bpz_decode(&file, &tensor, BPZ_FLOAT32, out, (size_t)tensor.count - 1u, workspace, all));
    SHOW(bpz_decode(&file, &raw, BPZ_INT32, out, 64, workspace, all));
    SHOW(bpz_decode_with_usage(&file, NULL, (int32_t *)(void *)out, 64, workspace, all, &bit_usage));
    SHOW(bpz_decode_with_usage(&file, &tensor, (int32_t *)(void *)out, 64, workspace, all, NULL));
    SHOW(bpz_decode_with_usage(&file, &raw, (int32_t *)(void *)out, 64, workspace, all, &bit_usage));
    SHOW(bpz_decode_csr(NULL, &tensor, BPZ_FLOAT32, rows, columns, out, 64, workspace, all));
    SHOW(bpz_decode_csr(&file, &tensor, BPZ_FLOAT32, NULL, columns, out, 64, workspace, all));
    SHOW(bpz_decode_csr(&file, &tensor, BPZ_FLOAT32, rows, NULL, out, 64, workspace, all));
    SHOW(bpz_decode_csr(&file, &tensor, BPZ_FLOAT32, rows, columns, NULL, 64, workspace, all));
    SHOW(bpz_decode_csr(&file, &tensor, (bpz_element)4, rows, columns, out, 64, workspace, all));
    SHOW(bpz_decode_csr(&file, &tensor, BPZ_FLOAT32, rows, columns, (uint8_t *)out + 2, 60, workspace, all));
    SHOW(bpz_decode_csr(&file, &tensor, BPZ_FLOAT32, rows, columns, out, (size_t)tensor.nonzero - 1u, workspace, all));
    SHOW(bpz_decode_csr(&file, &raw, BPZ_FLOAT32, rows, columns, out, 64, workspace, all));
    /* Counts that no machine can address, as a file may declare them. */
    wide = tensor;
    wide.count = UINT64_MAX / 2u;
    SHOW(bpz_decode(&file, &wide, BPZ_FLOAT32, out, SIZE_MAX, workspace, all));
    wide = tensor;
    wide.rows = UINT64_MAX / 2u;
    SHOW(bpz_decode_csr(&file, &wide, BPZ_FLOAT32, rows, columns, out, 64, workspace, all));
    wide = tensor;
    wide.columns = (uint64_t)UINT32_MAX + 1u;
    SHOW(bpz_decode_csr(&file, &wide, BPZ_FLOAT32, rows, columns, out, 64, workspace, all));
    wide = tensor;
    wide.nonzero = (uint64_t)UINT32_MAX + 1u;
    SHOW(bpz_decode_csr(&file, &wide, BPZ_FLOAT32, rows, columns, out, SIZE_MAX, workspace, all));
    wide.nonzero = UINT64_MAX / 2u;
    SHOW(bpz_decode_csr(&file, &wide, BPZ_FLOAT32, rows, columns, out, SIZE_MAX, workspace, all));
    /* A window that does not hold the section. */
    if (bpz_window(&other, tensor.section_offset + 1u, data + tensor.section_offset + 1u, 4) != BPZ_OK) exit(8);
    SHOW(bpz_decode(&other, &tensor, BPZ_FLOAT32, out, 64, workspace, all));
    if (bpz_window(&other, tensor.section_offset - 2u, data + tensor.section_offset - 2u, 1) != BPZ_OK) exit(9);
    SHOW(bpz_decode(&other, &tensor, BPZ_FLOAT32, out, 64, workspace, all));
    if (bpz_window(&other, tensor.section_offset - 2u, data + tensor.section_offset - 2u, 5) != BPZ_OK) exit(10);
    SHOW(bpz_decode(&other, &tensor, BPZ_FLOAT32, out, 64, workspace, all));
    printf("\n");
}

int main(void) {
    unsigned char head[4];
    int is_first = 1;
    while (fread(head, 1, 4, stdin) == 4) {
        const size_t size = (size_t)head[0] | (size_t)head[1] << 8 | (size_t)head[2] << 16 | (size_t)head[3] << 24;
        uint8_t *const data = exact_buffer(size);
        if (fread(data, 1, size, stdin) != size) return 2;
        if (is_first) print_misuse(data, size);
        is_first = 0;
        print_file(data, size);
        release_buffer(data, size);
    }
    return 0;
}
