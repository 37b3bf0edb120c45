/* name.c - reads names, and checks that they are UTF-8. */
#include "name.h"

#include <string.h>

#include "number.h"

/* What the stored bytes 1 to 5 stand for. */
static const char abbreviations[][sizeof ".num_batches_tracked"] = {
    ".weight", ".bias", ".running_mean", ".running_var", ".num_batches_tracked",
};
#define BPZ_ABBREVIATIONS (sizeof abbreviations / sizeof abbreviations[0])

/* UTF-8 as RFC 3629 has it: shortest forms, no surrogates, nothing above U+10FFFF. */
static int is_utf8(const char *chars, size_t size) {
    const uint8_t *const text = (const uint8_t *)chars;
    size_t at = 0;
    while (at < size) {
        const uint8_t lead = text[at++];
        uint32_t low = 0x80, high = 0xBF;
        unsigned tail;
        if (lead < 0x80) continue;
        if (lead >= 0xC2 && lead <= 0xDF) {
            tail = 1;
        } else if (lead >= 0xE0 && lead <= 0xEF) {
            tail = 2;
            if (lead == 0xE0) low = 0xA0;
            if (lead == 0xED) high = 0x9F;
        } else if (lead >= 0xF0 && lead <= 0xF4) {
            tail = 3;
            if (lead == 0xF0) low = 0x90;
            if (lead == 0xF4) high = 0x8F;
        } else {
            return 0;
        }
        for (; tail != 0; tail--) {
            if (at >= size || text[at] < low || text[at] > high) return 0;
            at++;
            low = 0x80;
            high = 0xBF;
        }
    }
    return 1;
}

/* A size of four bits; 15 is followed by what to add to it. */
static bpz_status read_count(uint32_t nibble, const uint8_t *data, size_t *offset, size_t end, size_t *count) {
    uint64_t more = 0;
    if (nibble == 15) {
        const bpz_status status = bpzi_varint_read(data, offset, end, &more);
        if (status != BPZ_OK) return status;
        if (more > BPZ_MAX_NAME) return BPZ_ERROR_CORRUPT;
    }
    *count = nibble + (size_t)more;
    return BPZ_OK;
}

/* Both sizes. The stored bytes lie before `end`. */
static bpz_status read_head(const uint8_t *data, size_t *offset, size_t end, size_t *shared_size, size_t *stored_size) {
    uint8_t head;
    bpz_status status;
    if (*offset >= end) return BPZ_ERROR_TRUNCATED;
    head = data[(*offset)++];
    status = read_count(head >> 4, data, offset, end, shared_size);
    if (status == BPZ_OK) status = read_count(head & 15u, data, offset, end, stored_size);
    if (status == BPZ_OK && *stored_size > end - *offset) status = BPZ_ERROR_TRUNCATED;
    return status;
}

bpz_status bpzi_name_read(char *name, size_t *length, const uint8_t *data, size_t *offset, size_t end) {
    size_t shared_size, stored_size, at, checked;
    const bpz_status status = read_head(data, offset, end, &shared_size, &stored_size);
    if (status != BPZ_OK) return status;
    if (shared_size > *length) return BPZ_ERROR_CORRUPT;
    at = shared_size;
    for (; stored_size != 0; stored_size--) {
        const uint8_t byte = data[(*offset)++];
        char plain[2] = {0, 0};
        const char *part = plain;
        memcpy(plain, &byte, 1);
        if (byte < 0x20) {
            if (byte == 0 || byte > BPZ_ABBREVIATIONS) return BPZ_ERROR_CORRUPT;
            part = abbreviations[byte - 1u];
        }
        for (; *part != 0; part++) {
            if (at == BPZ_MAX_NAME) return BPZ_ERROR_CORRUPT;
            name[at++] = *part;
        }
    }
    name[at] = 0;
    *length = at;
    /* The shared bytes were checked as a part of the name before, but their last character may have been cut: check
     * from where it begins. */
    for (checked = shared_size; checked != 0;) {
        if (((uint8_t)name[--checked] & 0xC0u) != 0x80u) break;
    }
    return at != 0 && is_utf8(name + checked, at - checked) ? BPZ_OK : BPZ_ERROR_CORRUPT;
}
