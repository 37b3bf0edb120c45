/* agree.c - decodes many forged files with every reader of the C library, which must all give the same result.
 *
 *     agree SEED FILES EVERY < corpus
 *
 * The corpus is valid files, each after its length as 4 bytes, little-endian. Two of three of the FILES are built field
 * by field (forge.h), the others are changed files of the corpus. One file of EVERY (0: none) is printed to standard
 * output: its length, its bytes, and the result, which is a status byte of bpz_open, the number of tensors, and for
 * each tensor a status byte of its levels, one of its values, and the CRC-32 of its float32 values. At the end standard
 * error receives the numbers of files, of files that could be opened, of tensors, and of tensors that could be decoded.
 *
 * Compared   whole file and stream: bpz_open with bpz_open_directory and bpz_announced_size;
 *            general and fast: bpz_decode_with_usage, which never takes a fast path, with bpz_decode;
 *            dense elements with sparse rows, each type of element with another, a window with the whole file
 *
 * A disagreement ends the program with its name, the file in hexadecimal, and exit status 1.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "bpz_levels.h"
#include "forge.h"

#define LARGEST 1024u      /* elements, and rows, of tensors that are decoded */
#define SPARSE  (1u << 16) /* elements of tensors that are decoded to sparse rows only */
#define CANARY  0xA5u
#define CORPUS  256u

static uint64_t workspace[1 << 13];
static const uint8_t *present; /* the file that is decoded now */
static size_t present_size;

static void differ(const char *what) {
    size_t at;
    fprintf(stderr, "disagreement: %s: ", what);
    for (at = 0; at < present_size; at++) fprintf(stderr, "%02x", present[at]);
    fprintf(stderr, "\n");
    exit(1);
}

static void need(int condition, const char *what) {
    if (!condition) differ(what);
}

typedef struct buffer {
    uint8_t bytes[4u * LARGEST + 16u];
} buffer;

/* Mark the bytes after `size` bytes: they must not change. */
static void fence(buffer *out, size_t size) { memset(out->bytes + size, CANARY, 16); }

static void check_fence(const buffer *out, size_t size) {
    unsigned at;
    for (at = 0; at < 16; at++) need(out->bytes[size + at] == CANARY, "a write behind the output");
}

static bpz_status decode_to(buffer *out, const bpz_file *file, const bpz_tensor *tensor, bpz_element element,
                            unsigned width) {
    bpz_status status;
    fence(out, (size_t)tensor->count * width);
    status = bpz_decode(file, tensor, element, out->bytes, (size_t)tensor->count, workspace, sizeof workspace);
    check_fence(out, (size_t)tensor->count * width);
    return status;
}

/* Decode sparse rows, and compare them with the dense elements when those are given. */
static void check_rows(const bpz_file *file, const bpz_tensor *tensor, bpz_element element, unsigned width,
                       bpz_status expected, const buffer *dense) {
    static buffer row_pointer, columns, values;
    uint64_t row, column, at = 0;
    uint32_t entry = 0;
    static const uint8_t zero[4];
    const uint32_t *pointer = (const uint32_t *)(const void *)row_pointer.bytes;
    const uint32_t *where = (const uint32_t *)(const void *)columns.bytes;
    bpz_status status;
    if (tensor->rows >= LARGEST || tensor->nonzero > LARGEST) return;
    fence(&row_pointer, ((size_t)tensor->rows + 1u) * 4u);
    fence(&columns, (size_t)tensor->nonzero * 4u);
    fence(&values, (size_t)tensor->nonzero * width);
    status =
        bpz_decode_csr(file, tensor, element, (uint32_t *)(void *)row_pointer.bytes, (uint32_t *)(void *)columns.bytes,
                       values.bytes, (size_t)tensor->nonzero, workspace, sizeof workspace);
    check_fence(&row_pointer, ((size_t)tensor->rows + 1u) * 4u);
    check_fence(&columns, (size_t)tensor->nonzero * 4u);
    check_fence(&values, (size_t)tensor->nonzero * width);
    if (tensor->kind < 4u || (tensor->columns > UINT32_MAX && tensor->count != 0)) {
        need(status == BPZ_ERROR_UNSUPPORTED, "sparse rows of what has none");
        return;
    }
    /* A stream with several faults may give another status: sparse rows also find more non-zeros than declared. */
    if (dense != NULL) need((status == BPZ_OK) == (expected == BPZ_OK), "sparse rows and dense elements: status");
    if (status != BPZ_OK) return;
    need(pointer[0] == 0 && pointer[tensor->rows] == tensor->nonzero, "row pointers' ends");
    for (row = 0; row < tensor->rows; row++) {
        for (entry = pointer[row]; entry < pointer[row + 1u]; entry++) {
            need(where[entry] < tensor->columns, "a column outside the matrix");
            need(entry == pointer[row] || where[entry] > where[entry - 1u], "columns out of order");
        }
        need(pointer[row] <= pointer[row + 1u], "row pointers out of order");
        if (dense == NULL) continue;
        entry = pointer[row];
        for (column = 0; column < tensor->columns; column++, at += width) {
            const int stored = entry < pointer[row + 1u] && where[entry] == column;
            const uint8_t *const found = stored ? values.bytes + (size_t)width * entry++ : zero;
            need(memcmp(found, dense->bytes + at, width) == 0, "sparse rows and dense elements");
        }
    }
}

/* Decode with only the section in memory, in a buffer of its size. */
static void check_window(const bpz_file *file, const bpz_tensor *tensor, bpz_status expected, const buffer *dense) {
    static buffer again;
    bpz_file other = *file;
    const size_t size = (size_t)tensor->section_size;
    uint8_t *const section = malloc(size + (size == 0));
    if (section == NULL) exit(2);
    memcpy(section, file->window + tensor->section_offset, size);
    need(bpz_window(&other, tensor->section_offset, section, size) == BPZ_OK, "a window");
    need(decode_to(&again, &other, tensor, BPZ_FLOAT32, 4) == expected, "a window: status");
    if (expected == BPZ_OK)
        need(memcmp(again.bytes, dense->bytes, 4u * (size_t)tensor->count) == 0, "a window: values");
    free(section);
}

typedef struct verdict {
    uint8_t levels, values;
    uint32_t crc;
} verdict;

static verdict check_tensor(const bpz_file *file, const bpz_tensor *tensor) {
    static buffer plain, quick, values, narrow;
    const size_t count = (size_t)tensor->count;
    verdict found = {0, 0, 0};
    bpz_status by_account, status, value_status;
    bpz_value_map map;
    bpz_bit_usage bit_usage;
    size_t at;
    fence(&plain, 4u * count);
    by_account = bpz_decode_with_usage(file, tensor, (int32_t *)(void *)plain.bytes, count, workspace, sizeof workspace,
                                       &bit_usage);
    check_fence(&plain, 4u * count);
    status = decode_to(&quick, file, tensor, BPZ_INT32, 4);
    value_status = decode_to(&values, file, tensor, BPZ_FLOAT32, 4);
    found.levels = (uint8_t)status;
    found.values = (uint8_t)value_status;
    if (tensor->kind >= 4u) {
        need(by_account == status, "plain and quick: status");
        need(value_status == status, "levels and values: status");
        if (status == BPZ_OK) need(memcmp(plain.bytes, quick.bytes, 4u * count) == 0, "plain and quick: levels");
        if (status == BPZ_OK) {
            const uint64_t bits = bit_usage.frame + bit_usage.name + bit_usage.shape + bit_usage.map + bit_usage.masks +
                                  bit_usage.tables + bit_usage.rows + bit_usage.indices + bit_usage.values +
                                  bit_usage.padding;
            need(bits % 8u == 0, "an account of no whole bytes");
            need(bpz_value_map_of(file, tensor, &map, workspace, sizeof workspace) == BPZ_OK, "a value map");
            for (at = 0; at < count; at++) {
                float value, other;
                int32_t level;
                memcpy(&level, plain.bytes + 4u * at, 4);
                memcpy(&other, values.bytes + 4u * at, 4);
                need(bpz_level_value(&map, level, &value) == BPZ_OK && memcmp(&value, &other, 4) == 0,
                     "a level's value");
            }
        }
    } else {
        need(by_account == BPZ_ERROR_UNSUPPORTED, "an account of raw values");
    }
    check_rows(file, tensor, BPZ_INT32, 4, status, &quick);
    if (one_in(4)) {
        bpz_status narrow_status = decode_to(&narrow, file, tensor, BPZ_INT8, 1);
        need(status != BPZ_OK || narrow_status == BPZ_OK || narrow_status == BPZ_ERROR_UNSUPPORTED, "int8: status");
        need(narrow_status != BPZ_OK || status == BPZ_OK, "int8 and int32: status");
        for (at = 0; narrow_status == BPZ_OK && at < count; at++) {
            int32_t level;
            memcpy(&level, quick.bytes + 4u * at, 4);
            need((int8_t)narrow.bytes[at] == level, "int8 and int32");
        }
        if (narrow_status != BPZ_ERROR_UNSUPPORTED) check_rows(file, tensor, BPZ_INT8, 1, narrow_status, &narrow);
        narrow_status = decode_to(&narrow, file, tensor, BPZ_FLOAT16, 2);
        need(narrow_status != BPZ_OK || value_status == BPZ_OK, "float16 and float32: status");
        need(value_status != BPZ_OK || narrow_status == BPZ_OK || narrow_status == BPZ_ERROR_UNSUPPORTED,
             "float16: status");
        if (narrow_status != BPZ_ERROR_UNSUPPORTED) check_rows(file, tensor, BPZ_FLOAT16, 2, narrow_status, &narrow);
        check_rows(file, tensor, BPZ_FLOAT32, 4, value_status, &values);
        check_window(file, tensor, value_status, &values);
        need(value_status != BPZ_OK || bpz_check(file, tensor, workspace, sizeof workspace) == BPZ_OK, "a check");
    }
    if (value_status == BPZ_OK) {
        /* In the byte order of the machine, which has to be little-endian. */
        found.crc = forge_crc(values.bytes, 4u * count);
    }
    return found;
}

/* Open a file; what a reader of a stream learns from its first bytes must agree. */
static bpz_status check_front(bpz_file *file) {
    bpz_file front;
    uint64_t announced = 0;
    size_t needed = 0;
    const size_t head = present_size < 18u ? present_size : 18u;
    const bpz_status status = bpz_open(file, present, present_size);
    const bpz_status known = bpz_announced_size(present, present_size, &announced);
    bpz_status by_front = bpz_open_directory(&front, present, head, &needed);
    if (status == BPZ_OK) need(known == BPZ_OK && announced == present_size, "the announced size");
    if (status == BPZ_ERROR_TRAILING)
        need(known == BPZ_OK && announced < present_size, "the announced size, too short");
    if (by_front == BPZ_ERROR_TRUNCATED && needed > head && needed <= present_size) {
        by_front = bpz_open_directory(&front, present, needed, &needed);
    }
    if (status == BPZ_OK) {
        need(by_front == (file->is_seekable ? BPZ_OK : BPZ_ERROR_UNSUPPORTED), "a sound file's directory");
        need(by_front != BPZ_OK || bpz_file_size(&front) == present_size, "the size by the directory");
    } else if (by_front == BPZ_OK) {
        need(status == BPZ_ERROR_TRUNCATED || status == BPZ_ERROR_TRAILING, "a bad file's directory");
    } else if (by_front != BPZ_ERROR_UNSUPPORTED && by_front != BPZ_ERROR_TRUNCATED) {
        need(by_front == status, "a bad directory: status");
    }
    return status;
}

static void put_out(const void *bytes, size_t size) {
    if (fwrite(bytes, 1, size, stdout) != size) exit(2);
}

static unsigned long opened, tensors, decoded;

/* Decode and compare one file. Returns whether it was printed: files of too many elements are not. */
static int check_file(const uint8_t *data, size_t size, int is_shown) {
    static verdict found[8];
    bpz_file file;
    bpz_tensor tensor;
    bpz_status status;
    uint64_t elements = 0;
    uint32_t index = 0;
    uint8_t head[4];
    present = data;
    present_size = size;
    status = check_front(&file);
    if (status == BPZ_OK) {
        opened++;
        for (index = 0; index < file.tensor_count && index < 8u; index++) {
            bpz_tensor by_name;
            need((index == 0 ? bpz_tensor_at(&file, 0, &tensor) : bpz_next(&file, &tensor)) == BPZ_OK, "an entry");
            need(bpz_find(&file, tensor.name, tensor.name_length, &by_name) == BPZ_OK && by_name.index == index,
                 "a name");
            need(tensor.rows * tensor.columns == tensor.count && tensor.nonzero <= tensor.count, "counts");
            tensors++;
            elements += tensor.count;
            if (tensor.count > LARGEST) {
                /* Sparse rows take little memory, but the time of all positions. */
                if (tensor.count <= SPARSE) check_rows(&file, &tensor, BPZ_FLOAT32, 4, BPZ_OK, NULL);
                continue;
            }
            found[index] = check_tensor(&file, &tensor);
            decoded += found[index].values == BPZ_OK;
        }
    }
    if (!is_shown || elements > LARGEST) return 0;
    for (index = 0; index < 4; index++) head[index] = (uint8_t)(size >> (8u * index));
    put_out(head, 4);
    put_out(data, size);
    head[0] = (uint8_t)status;
    head[1] = status == BPZ_OK ? (uint8_t)file.tensor_count : 0;
    put_out(head, 2);
    for (index = 0; index < head[1]; index++) {
        uint8_t line[6];
        line[0] = found[index].levels;
        line[1] = found[index].values;
        line[2] = (uint8_t)found[index].crc;
        line[3] = (uint8_t)(found[index].crc >> 8);
        line[4] = (uint8_t)(found[index].crc >> 16);
        line[5] = (uint8_t)(found[index].crc >> 24);
        put_out(line, 6);
    }
    return 1;
}

/* A valid file, divided into parts; returns 0 when it is larger than the parts. */
static int take_apart(forge_file *parts, const uint8_t *data, size_t size) {
    bpz_file file;
    bpz_tensor tensor;
    uint32_t index;
    if (bpz_open(&file, data, size) != BPZ_OK || file.tensor_count == 0 || file.tensor_count > FORGE_TENSORS) return 0;
    parts->count = file.tensor_count;
    parts->is_seekable = (int)file.is_seekable;
    for (index = 0; index < file.tensor_count; index++) {
        forge_tensor *const part = &parts->tensors[index];
        size_t from = file.first_entry, length, section;
        if (index != 0) from = tensor.next_entry;
        if ((index == 0 ? bpz_tensor_at(&file, 0, &tensor) : bpz_next(&file, &tensor)) != BPZ_OK) return 0;
        part->is_raw = tensor.kind < 4u;
        section = (size_t)tensor.section_size - (file.is_seekable ? 4u : 0);
        length = tensor.next_entry - from;
        if (!part->is_raw) {
            uint64_t rest = section;
            for (length--; rest >= 0x80; rest >>= 7) length--;
        }
        if (section > FORGE_CAPACITY / 2u || length > FORGE_CAPACITY / 2u) return 0;
        memcpy(part->head.at, data + from, length);
        memcpy(part->section.at, data + tensor.section_offset, section);
        part->head.size = length;
        part->section.size = section;
        part->head.bits = part->section.bits = 0;
    }
    return 1;
}

static void copy_parts(forge_file *to, const forge_file *from) {
    unsigned index;
    to->count = from->count;
    to->is_seekable = from->is_seekable;
    for (index = 0; index < from->count; index++) {
        const forge_tensor *const source = &from->tensors[index];
        forge_tensor *const copy = &to->tensors[index];
        copy->is_raw = source->is_raw;
        memcpy(copy->head.at, source->head.at, source->head.size);
        memcpy(copy->section.at, source->section.at, source->section.size);
        copy->head.size = source->head.size;
        copy->section.size = source->section.size;
        copy->head.bits = copy->section.bits = 0;
    }
}

int main(int argc, char **argv) {
    static forge_file file;
    static uint8_t sealed[FORGE_FILE_CAPACITY];
    forge_file *const corpus = malloc(CORPUS * sizeof *corpus);
    unsigned known = 0;
    unsigned long count, files, every, due = 0; /* due: files that are to be printed as soon as one can be */
    unsigned char head[4];
    if (argc != 4 || corpus == NULL || bpz_workspace_size() > sizeof workspace) return 2;
    forge_state = strtoull(argv[1], NULL, 10);
    files = strtoul(argv[2], NULL, 10);
    every = strtoul(argv[3], NULL, 10);
    while (known < CORPUS && fread(head, 1, 4, stdin) == 4) {
        const size_t size = head[0] | (size_t)head[1] << 8 | (size_t)head[2] << 16 | (size_t)head[3] << 24;
        uint8_t *const data = malloc(size + 1u);
        if (data == NULL || fread(data, 1, size, stdin) != size) return 2;
        known += (unsigned)take_apart(&corpus[known], data, size);
        free(data);
    }
    for (count = 0; count < files; count++) {
        uint8_t *exact;
        size_t size;
        if (known == 0 || !one_in(3)) {
            forge_directed(&file);
            if (one_in(8)) forge_change(&file);
        } else {
            copy_parts(&file, &corpus[any(known)]);
            if (!one_in(64)) forge_change(&file);
        }
        size = forge_seal(&file, sealed);
        exact = malloc(size); /* so that a sanitizer detects a read after the file */
        if (exact == NULL) return 2;
        memcpy(exact, sealed, size);
        if (every != 0 && count % every == 0) due++;
        due -= (unsigned long)check_file(exact, size, due != 0);
        free(exact);
    }
    fprintf(stderr, "%lu %lu %lu %lu\n", files, opened, tensors, decoded);
    free(corpus);
    return 0;
}
