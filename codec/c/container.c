/* container.c - the file around the sections: magic, version, directory, checksums, and finding a tensor (FORMAT.md,
 * section 3).
 *
 * bpz_open does all checks that need the whole file, so that later calls on a tensor depend on its section alone. The
 * order is the one of FORMAT.md, section 3.2: the few fields before the first checksum, the checksum, all entries, the
 * names, the length. Only then is anything of the file believed.
 *
 * A seekable file can also be opened by its directory alone, for readers of a stream; bpz_window then says where its
 * sections are found. bpz_open is the case in which the window is the whole file.
 */
#include <string.h>

#include "checksum.h"
#include "directory.h"
#include "distinct.h"

#define BPZ_VERSION    2u
#define BPZ_HEAD       4u  /* magic and version */
#define BPZ_MOST_HEAD  18u /* with the two varints after them, at most */
/* Bytes of an entry at most: kind and rank; a name with its head and two sizes of two bytes; extents, nonzero and
 * content_size. */
#define BPZ_MOST_ENTRY (1u + 5u + BPZ_MAX_NAME + 7u * (BPZ_MAX_RANK + 2u))

/* Whether two blocks of `size` bytes are equal. A freestanding program must bring memcpy and memset, and no memcmp. */
static int is_same(const void *one, const void *other, size_t size) {
    const uint8_t *left = one, *right = other;
    while (size != 0 && *left++ == *right++) size--;
    return size == 0;
}

const char *bpz_status_text(bpz_status status) {
    switch (status) {
    case BPZ_OK:
        return "no error";
    case BPZ_ERROR_NOT_BPZ:
        return "the data do not begin with the magic bytes of a .bpz file";
    case BPZ_ERROR_VERSION:
        return "the file's format version is not one that this decoder knows";
    case BPZ_ERROR_TRUNCATED:
        return "the data end before the file does";
    case BPZ_ERROR_TRAILING:
        return "there are bytes after the end of the file";
    case BPZ_ERROR_CHECKSUM:
        return "a checksum does not match: bytes were changed, cut or added";
    case BPZ_ERROR_CORRUPT:
        return "a field is outside its range, or fields contradict each other";
    case BPZ_ERROR_BUFFER_TOO_SMALL:
        return "the output buffer or the workspace is too small";
    case BPZ_ERROR_ARGUMENT:
        return "an argument is NULL, misaligned, unknown or out of range";
    case BPZ_ERROR_UNSUPPORTED:
        return "the tensor is well-formed, but this call cannot deliver it";
    }
    return "an unknown status";
}

/* Read magic, version, tensor_count, is_seekable and, in a seekable file, entries_size (0 in others). `file` is set up
 * but for what the entries say. */
static bpz_status read_head(bpz_file *file, const uint8_t *data, size_t size, uint64_t *entries_size) {
    uint64_t number;
    bpz_status status;
    size_t offset = BPZ_HEAD;
    if (size < 3) return size == 0 || is_same(data, "BPZ", size) ? BPZ_ERROR_TRUNCATED : BPZ_ERROR_NOT_BPZ;
    if (!is_same(data, "BPZ", 3)) return BPZ_ERROR_NOT_BPZ;
    if (size < BPZ_HEAD) return BPZ_ERROR_TRUNCATED;
    if (data[3] != BPZ_VERSION) return BPZ_ERROR_VERSION;
    memset(file, 0, sizeof *file);
    file->directory = data;
    status = bpzi_varint_read(data, &offset, size, &number);
    if (status != BPZ_OK) return status;
    file->is_seekable = (uint32_t)(number & 1u);
    if (number / 2u > BPZ_MAX_TENSORS) return BPZ_ERROR_CORRUPT;
    file->tensor_count = (uint32_t)(number / 2u);
    *entries_size = 0;
    if (file->is_seekable) {
        status = bpzi_varint_read(data, &offset, size, entries_size);
        if (status != BPZ_OK) return status;
    }
    /* Rejected before a caller waits for these bytes, or allocates memory for them. */
    if (*entries_size > (uint64_t)file->tensor_count * BPZ_MOST_ENTRY) return BPZ_ERROR_CORRUPT;
    file->first_entry = offset;
    return BPZ_OK;
}

/* Walk through all entries, which must end at or before directory_size, and set what follows from them. Between the
 * last entry and the first section lie `checksum_size` bytes. Names are not compared. */
static bpz_status walk_entries(bpz_file *file, size_t checksum_size) {
    bpz_tensor tensor;
    bpzi_before_first(file, &tensor);
    while (tensor.index + 1u < file->tensor_count) {
        const bpz_status status = bpz_next(file, &tensor);
        if (status != BPZ_OK) return status;
        if (tensor.section_offset + tensor.section_size > BPZ_MAX_NUMBER) return BPZ_ERROR_CORRUPT;
    }
    file->directory_size = tensor.next_entry;
    file->first_section = tensor.next_entry + checksum_size;
    /* first_section was 0 during the walk, so the offsets counted from the first section. */
    file->size = tensor.section_offset + tensor.section_size + file->first_section;
    return BPZ_OK;
}

/* The same, and compare the names. */
static bpz_status read_entries(bpz_file *file, size_t checksum_size) {
    const bpz_status status = walk_entries(file, checksum_size);
    if (status != BPZ_OK) return status;
    return bpzi_names_are_distinct(file) ? BPZ_OK : BPZ_ERROR_CORRUPT;
}

/* Open a seekable file by its first `size` bytes. The directory is known by entries_size, and the entries must fill
 * it. */
static bpz_status open_directory(bpz_file *file, size_t size, uint64_t entries_size) {
    bpz_status status;
    size_t end;
    if (size < file->first_entry + BPZ_CHECKSUM_BYTES || entries_size > size - file->first_entry - BPZ_CHECKSUM_BYTES) {
        return BPZ_ERROR_TRUNCATED;
    }
    end = file->first_entry + (size_t)entries_size;
    if (!bpzi_checksum_matches(file->directory, end, NULL)) return BPZ_ERROR_CHECKSUM;
    file->directory_size = end;
    status = read_entries(file, BPZ_CHECKSUM_BYTES);
    if (status != BPZ_OK) return status;
    return file->directory_size == end ? BPZ_OK : BPZ_ERROR_CORRUPT;
}

/* Open a file under one checksum, of `size` bytes. */
static bpz_status open_compact(bpz_file *file, size_t size) {
    bpz_status status;
    size_t end;
    if (size - file->first_entry < BPZ_CHECKSUM_BYTES) return BPZ_ERROR_TRUNCATED;
    end = size - BPZ_CHECKSUM_BYTES;
    if (!bpzi_checksum_matches(file->directory, end, NULL)) return BPZ_ERROR_CHECKSUM;
    file->directory_size = end;
    status = read_entries(file, 0);
    file->size += BPZ_CHECKSUM_BYTES;
    return status;
}

bpz_status bpz_open(bpz_file *file, const void *data, size_t size) {
    uint64_t entries_size;
    bpz_status status;
    if (file == NULL || data == NULL) return BPZ_ERROR_ARGUMENT;
    status = read_head(file, data, size, &entries_size);
    if (status != BPZ_OK) return status;
    status = file->is_seekable ? open_directory(file, size, entries_size) : open_compact(file, size);
    if (status != BPZ_OK) return status;
    if (file->size != size) return file->size > size ? BPZ_ERROR_TRUNCATED : BPZ_ERROR_TRAILING;
    file->window = data;
    file->window_size = size;
    return BPZ_OK;
}

bpz_status bpz_open_directory(bpz_file *file, const void *data, size_t size, size_t *needed) {
    uint64_t entries_size;
    bpz_status status;
    if (file == NULL || data == NULL || needed == NULL) return BPZ_ERROR_ARGUMENT;
    *needed = BPZ_MOST_HEAD;
    status = read_head(file, data, size, &entries_size);
    if (status != BPZ_OK) return status;
    if (!file->is_seekable) return BPZ_ERROR_UNSUPPORTED;
    *needed = file->first_entry + (size_t)entries_size + BPZ_CHECKSUM_BYTES; /* at most 1.4 MB, see read_head */
    return open_directory(file, size, entries_size);
}

bpz_status bpz_announced_size(const void *data, size_t size, uint64_t *announced) {
    bpz_file file;
    uint64_t entries_size;
    bpz_status status;
    if (data == NULL || announced == NULL) return BPZ_ERROR_ARGUMENT;
    status = read_head(&file, data, size, &entries_size);
    if (status != BPZ_OK) return status;
    file.directory_size = size;
    status = walk_entries(&file, BPZ_CHECKSUM_BYTES); /* in both forms: before the sections, or after them */
    *announced = file.size;
    return status;
}

bpz_status bpz_window(bpz_file *file, uint64_t offset, const void *data, size_t size) {
    if (file == NULL || data == NULL || offset > file->size || size > file->size - offset) return BPZ_ERROR_ARGUMENT;
    file->window = data;
    file->window_offset = offset;
    file->window_size = size;
    return BPZ_OK;
}

uint64_t bpz_file_size(const bpz_file *file) { return file == NULL ? 0 : file->size; }

bpz_status bpz_tensor_at(const bpz_file *file, uint32_t index, bpz_tensor *tensor) {
    if (file == NULL || tensor == NULL) return BPZ_ERROR_ARGUMENT;
    bpzi_before_first(file, tensor);
    do {
        const bpz_status status = bpz_next(file, tensor); /* fails after the last */
        if (status != BPZ_OK) return status;
    } while (tensor->index != index);
    return BPZ_OK;
}

bpz_status bpz_find(const bpz_file *file, const char *name, size_t name_length, bpz_tensor *tensor) {
    bpz_status status;
    if (file == NULL || name == NULL || tensor == NULL) return BPZ_ERROR_ARGUMENT;
    bpzi_before_first(file, tensor);
    for (;;) {
        status = bpz_next(file, tensor);
        if (status != BPZ_OK) return status;
        if (tensor->name_length == name_length && is_same(tensor->name, name, name_length)) return BPZ_OK;
    }
}
