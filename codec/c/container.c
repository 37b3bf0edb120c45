/* container.c - the file around the records: magic, checksum, finding a tensor. */
#include "record.h"

#define BPZ_VERSION 2u
#define BPZ_HEAD 4u /* magic and version */
#define BPZ_CRC 4u

/* CRC-32 as in IEEE 802.3, zlib and PNG: reflected, polynomial 0xEDB88320, four bits at a time. */
static uint32_t crc32(const uint8_t *data, size_t size) {
    static const uint32_t table[16] = {
        0x00000000u, 0x1DB71064u, 0x3B6E20C8u, 0x26D930ACu, 0x76DC4190u, 0x6B6B51F4u, 0x4DB26158u, 0x5005713Cu,
        0xEDB88320u, 0xF00F9344u, 0xD6D6A3E8u, 0xCB61B38Cu, 0x9B64C2B0u, 0x86D3D2D4u, 0xA00AE278u, 0xBDBDF21Cu};
    uint32_t crc = 0xFFFFFFFFu;
    size_t at;
    for (at = 0; at < size; at++) {
        crc ^= data[at];
        crc = crc >> 4 ^ table[crc & 15u];
        crc = crc >> 4 ^ table[crc & 15u];
    }
    return ~crc;
}

/* memcmp is more of libc than a freestanding program must bring. */
static int is_same(const void *one, const void *other, size_t size) {
    const uint8_t *left = one, *right = other;
    while (size != 0 && *left++ == *right++) size--;
    return size == 0;
}

const char *bpz_status_text(bpz_status status) {
    switch (status) {
        case BPZ_OK: return "no error";
        case BPZ_ERROR_NOT_BPZ: return "the data do not begin with the magic bytes of a .bpz file";
        case BPZ_ERROR_VERSION: return "the file's format version is not one that this decoder knows";
        case BPZ_ERROR_TRUNCATED: return "the data end before the file does";
        case BPZ_ERROR_TRAILING: return "there are bytes after the end of the file";
        case BPZ_ERROR_CHECKSUM: return "the checksum does not match: bytes were changed, cut or added";
        case BPZ_ERROR_CORRUPT: return "a field is outside its range, or fields contradict each other";
        case BPZ_ERROR_BUFFER_TOO_SMALL: return "the output buffer or the workspace is too small";
        case BPZ_ERROR_ARGUMENT: return "an argument is NULL, misaligned, unknown or out of range";
        case BPZ_ERROR_UNSUPPORTED: return "the tensor is well-formed, but this call cannot deliver it";
    }
    return "an unknown status";
}

/* Whether an earlier record has this name. Quadratic over a file, which BPZ_MAX_TENSORS keeps short. */
static int is_repeated(const bpz_file *file, const bpz_tensor *tensor, size_t end) {
    size_t offset = file->first_tensor;
    bpz_name name;
    name.length = 0;
    while (offset < tensor->offset) {
        uint32_t length = 0;
        size_t at;
        /* Cannot fail: the walk has passed this record already. */
        if (bpz_varint_read(file->data, &offset, end, &length) != BPZ_OK) return 1;
        at = offset + 1u; /* behind the kind */
        if (bpz_name_read(&name, file->data, &at, end) != BPZ_OK) return 1;
        if (name.length == tensor->name_length && is_same(name.text, tensor->name, name.length)) return 1;
        offset += length;
    }
    return 0;
}

bpz_status bpz_open(bpz_file *file, const void *data, size_t size) {
    const uint8_t *bytes = data;
    uint32_t index;
    size_t offset = BPZ_HEAD, end;
    bpz_status status;
    bpz_record record;
    bpz_name name;

    if (file == NULL || data == NULL) return BPZ_ERROR_ARGUMENT;
    if (size < 3) return size == 0 || is_same(bytes, "BPZ", size) ? BPZ_ERROR_TRUNCATED : BPZ_ERROR_NOT_BPZ;
    if (!is_same(bytes, "BPZ", 3)) return BPZ_ERROR_NOT_BPZ;
    if (size < BPZ_HEAD) return BPZ_ERROR_TRUNCATED;
    if (bytes[3] != BPZ_VERSION) return BPZ_ERROR_VERSION;
    if (size < BPZ_HEAD + 1u + BPZ_CRC) return BPZ_ERROR_TRUNCATED;
    end = size - BPZ_CRC;
    if (crc32(bytes, end) != ((uint32_t)bytes[end] | (uint32_t)bytes[end + 1u] << 8 |
                              (uint32_t)bytes[end + 2u] << 16 | (uint32_t)bytes[end + 3u] << 24)) {
        return BPZ_ERROR_CHECKSUM;
    }

    file->data = bytes;
    file->size = size;
    status = bpz_varint_read(bytes, &offset, end, &file->tensor_count);
    if (status != BPZ_OK) return status;
    if (file->tensor_count > BPZ_MAX_TENSORS) return BPZ_ERROR_CORRUPT;
    file->first_tensor = offset;
    name.length = 0;
    for (index = 0; index < file->tensor_count; index++) {
        status = bpz_record_read(&record, &name, bytes, offset, end);
        if (status != BPZ_OK) return status;
        if (is_repeated(file, &record.tensor, end)) return BPZ_ERROR_CORRUPT;
        offset += record.tensor.length;
    }
    return offset == end ? BPZ_OK : BPZ_ERROR_TRAILING;
}

bpz_status bpz_tensor_at(const bpz_file *file, uint32_t index, bpz_tensor *tensor) {
    size_t offset;
    bpz_record record;
    bpz_name name;
    if (file == NULL || tensor == NULL || index >= file->tensor_count) return BPZ_ERROR_ARGUMENT;
    offset = file->first_tensor;
    name.length = 0;
    for (;;) {
        const bpz_status status = bpz_record_read(&record, &name, file->data, offset, file->size - BPZ_CRC);
        if (status != BPZ_OK) return status;
        if (index-- == 0) break;
        offset += record.tensor.length;
    }
    *tensor = record.tensor;
    return BPZ_OK;
}

bpz_status bpz_find(const bpz_file *file, const char *name, size_t name_length, bpz_tensor *tensor) {
    uint32_t index;
    size_t offset;
    bpz_record record;
    bpz_name found;
    if (file == NULL || name == NULL || tensor == NULL) return BPZ_ERROR_ARGUMENT;
    offset = file->first_tensor;
    found.length = 0;
    for (index = 0; index < file->tensor_count; index++) {
        const bpz_status status = bpz_record_read(&record, &found, file->data, offset, file->size - BPZ_CRC);
        if (status != BPZ_OK) return status;
        if (record.tensor.name_length == name_length && is_same(record.tensor.name, name, name_length)) {
            *tensor = record.tensor;
            return BPZ_OK;
        }
        offset += record.tensor.length;
    }
    return BPZ_ERROR_ARGUMENT;
}
