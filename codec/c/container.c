/* container.c - the file around the tensors: magic, version, records, checksum. */
#include "bpz_internal.h"

static const uint8_t magic[3] = {'B', 'P', 'Z'};

/* Bytes of the file from `at` to `end`; `status` is the first thing that went wrong, and then stays. */
typedef struct cursor {
    const uint8_t *data;
    size_t at, end;
    bpz_status status;
} cursor;

static void fail(cursor *c, bpz_status status)
{
    if (c->status == BPZ_OK) {
        c->status = status;
    }
}

/* `size` bytes, or NULL when they are not all there. */
static const uint8_t *take(cursor *c, size_t size)
{
    const uint8_t *bytes = c->data + c->at;
    if (c->status != BPZ_OK || size > c->end - c->at) {
        fail(c, BPZ_ERROR_TRUNCATED);
        return NULL;
    }
    c->at += size;
    return bytes;
}

/* LEB128 below 2^32, in its shortest form. */
static uint32_t varint(cursor *c)
{
    uint32_t value = 0, shift;
    for (shift = 0; shift < 35; shift += 7) {
        const uint8_t *byte = take(c, 1);
        if (byte == NULL) {
            return 0;
        }
        if ((shift == 28 && *byte > 15) || (shift > 0 && *byte == 0)) {
            break; /* too large, or a last byte that says nothing */
        }
        value |= (uint32_t)(*byte & 127u) << shift;
        if (*byte < 128) {
            return value;
        }
    }
    fail(c, BPZ_ERROR_CORRUPT);
    return 0;
}

static void read_name(cursor *c, bpz_tensor *tensor)
{
    const uint32_t shared = varint(c), rest = varint(c);
    const uint8_t *bytes;
    uint32_t i;
    if (c->status == BPZ_OK && (shared > tensor->name_length || rest > BPZ_MAX_NAME - shared || shared + rest == 0)) {
        fail(c, BPZ_ERROR_CORRUPT);
    }
    bytes = take(c, rest);
    if (bytes == NULL) {
        return;
    }
    for (i = 0; i < rest; i++) {
        if (bytes[i] == 0) {
            fail(c, BPZ_ERROR_CORRUPT);
        }
        tensor->name[shared + i] = (char)bytes[i];
    }
    tensor->name_length = shared + rest;
    tensor->name[tensor->name_length] = '\0';
}

static void read_shape(cursor *c, bpz_tensor *tensor)
{
    uint64_t count = 1, rest = 1;
    uint32_t axis;
    for (axis = 0; axis < tensor->rank; axis++) {
        tensor->shape[axis] = varint(c);
    }
    for (axis = 0; axis < tensor->rank; axis++) {
        count = tensor->shape[axis] == 0 ? 0 : count; /* an extent of 0 anywhere empties the tensor */
    }
    for (axis = 0; axis < tensor->rank && count != 0; axis++) {
        count *= tensor->shape[axis]; /* below 2^31 times below 2^32 */
        if (axis > 0) {
            rest *= tensor->shape[axis];
        }
        if (count > BPZ_MAX_ELEMENTS) {
            fail(c, BPZ_ERROR_CORRUPT);
            return;
        }
    }
    tensor->count = (uint32_t)count;
    tensor->rows = tensor->rank < 2 ? 1 : tensor->shape[0];
    tensor->columns = tensor->rank < 2 ? tensor->count : (uint32_t)rest;
    if (count == 0) {
        tensor->rows = tensor->columns = 0;
    }
}

static void read_value_map(cursor *c, bpz_tensor *tensor)
{
    const uint8_t *bytes;
    uint32_t entry;
    tensor->step = 0.0f;
    tensor->codebook_size = 0;
    tensor->map = c->at;
    if (tensor->kind == BPZ_GRID) {
        bytes = take(c, 4);
        if (bytes != NULL) {
            tensor->step = bpz_load_f32(bytes);
            if (!bpz_is_finite(bytes) || !(tensor->step > 0.0f)) {
                fail(c, BPZ_ERROR_CORRUPT);
            }
        }
    } else if (tensor->kind == BPZ_CODEBOOK) {
        tensor->codebook_size = varint(c);
        tensor->map = c->at;
        if (tensor->codebook_size == 0) {
            fail(c, BPZ_ERROR_CORRUPT);
        }
        for (entry = 1; c->status == BPZ_OK && entry < tensor->codebook_size; entry++) {
            bytes = take(c, 4);
            if (bytes != NULL && !bpz_is_finite(bytes)) {
                fail(c, BPZ_ERROR_CORRUPT);
            }
        }
    }
}

/* Read the record at tensor->next; the name may share its beginning with the one that `tensor` holds. */
static bpz_status read_record(const bpz_file *file, bpz_tensor *tensor)
{
    cursor c;
    const uint8_t *byte;
    c.data = file->data;
    c.at = tensor->next;
    c.end = file->size;
    c.status = BPZ_OK;
    read_name(&c, tensor);
    byte = take(&c, 1);
    if (byte == NULL) {
        return c.status;
    }
    tensor->rank = *byte & 15u;
    if (tensor->rank > BPZ_MAX_RANK || *byte >> 4 > BPZ_CODEBOOK) {
        return BPZ_ERROR_CORRUPT;
    }
    tensor->kind = (bpz_kind)(*byte >> 4);
    read_shape(&c, tensor);
    read_value_map(&c, tensor);
    if (c.status != BPZ_OK) {
        return c.status;
    }
    if (tensor->kind != BPZ_RAW) {
        tensor->payload_size = tensor->count == 0 ? 0 : varint(&c);
    } else if (tensor->count > (c.end - c.at) / 4) {
        return BPZ_ERROR_TRUNCATED; /* before multiplying, which may overflow a 32-bit size_t */
    } else {
        tensor->payload_size = (size_t)tensor->count * 4;
    }
    tensor->payload = c.at;
    (void)take(&c, tensor->payload_size);
    tensor->next = c.at;
    return c.status;
}

bpz_status bpz_first(const bpz_file *file, bpz_tensor *tensor)
{
    if (file == NULL || tensor == NULL || file->tensor_count == 0) {
        return BPZ_ERROR_ARGUMENT;
    }
    memset(tensor, 0, sizeof *tensor);
    tensor->next = file->first_tensor;
    return read_record(file, tensor);
}

bpz_status bpz_next(const bpz_file *file, bpz_tensor *tensor)
{
    if (file == NULL || tensor == NULL || tensor->next >= file->size) {
        return BPZ_ERROR_ARGUMENT;
    }
    return read_record(file, tensor);
}

bpz_status bpz_open(bpz_file *file, const void *data, size_t size)
{
    const uint8_t *bytes = data;
    bpz_tensor tensor;
    cursor c;
    uint32_t index;
    if (file == NULL || data == NULL) {
        return BPZ_ERROR_ARGUMENT;
    }
    if (size < sizeof magic || memcmp(bytes, magic, sizeof magic) != 0) {
        return BPZ_ERROR_NOT_BPZ;
    }
    if (size < BPZ_HEADER_SIZE + 1 + BPZ_CHECKSUM_SIZE) {
        return BPZ_ERROR_TRUNCATED;
    }
    if (bytes[3] != BPZ_VERSION) {
        return BPZ_ERROR_VERSION;
    }
    file->data = bytes;
    file->size = size - BPZ_CHECKSUM_SIZE;
    if (bpz_crc32(bytes, file->size) != bpz_load_u32(bytes + file->size)) {
        return BPZ_ERROR_CHECKSUM;
    }
    c.data = bytes;
    c.at = BPZ_HEADER_SIZE;
    c.end = file->size;
    c.status = BPZ_OK;
    file->tensor_count = varint(&c);
    file->first_tensor = c.at;
    if (c.status != BPZ_OK) {
        return c.status;
    }
    /* A record takes bytes, so a forged count ends in BPZ_ERROR_TRUNCATED, not in a long loop. */
    memset(&tensor, 0, sizeof tensor);
    tensor.next = file->first_tensor;
    for (index = 0; index < file->tensor_count; index++) {
        const bpz_status status = read_record(file, &tensor);
        if (status != BPZ_OK) {
            return status;
        }
    }
    return tensor.next == file->size ? BPZ_OK : BPZ_ERROR_TRAILING;
}

bpz_status bpz_find(const bpz_file *file, const char *name, bpz_tensor *tensor)
{
    uint32_t index;
    bpz_status status;
    if (file == NULL || name == NULL || tensor == NULL) {
        return BPZ_ERROR_ARGUMENT;
    }
    status = bpz_first(file, tensor);
    for (index = 0; status == BPZ_OK && index < file->tensor_count; index++) {
        size_t same = 0;
        while (same < tensor->name_length && tensor->name[same] == name[same]) {
            same++;
        }
        if (same == tensor->name_length && name[same] == '\0') {
            return BPZ_OK;
        }
        status = bpz_next(file, tensor);
    }
    return status == BPZ_OK ? BPZ_ERROR_ARGUMENT : status;
}

const char *bpz_status_text(bpz_status status)
{
    switch (status) {
    case BPZ_OK:
        return "no error";
    case BPZ_ERROR_NOT_BPZ:
        return "not a .bpz file";
    case BPZ_ERROR_VERSION:
        return "a version of the format that this decoder does not know";
    case BPZ_ERROR_TRUNCATED:
        return "a field or stream runs past its end";
    case BPZ_ERROR_TRAILING:
        return "something follows where nothing belongs";
    case BPZ_ERROR_CHECKSUM:
        return "the checksum does not match: bytes were changed, cut or added";
    case BPZ_ERROR_CORRUPT:
        return "a field is outside its range";
    case BPZ_ERROR_BUFFER_TOO_SMALL:
        return "the output or workspace buffer is too small";
    case BPZ_ERROR_ARGUMENT:
        return "an argument is NULL, or there is no such tensor, or the call does not fit the tensor";
    }
    return "an unknown status";
}
