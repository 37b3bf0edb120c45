/* name.c - names of tensors. */
#include "name.h"

#include <string.h>

#include "number.h"

/* Bytes below 0x20 stand for what names of parameters end with; the others of these mean nothing. */
static const char abbreviations[][sizeof ".num_batches_tracked"] = {
    ".weight", ".bias", ".running_mean", ".running_var", ".num_batches_tracked",
};
#define BPZ_ABBREVIATIONS (sizeof abbreviations / sizeof abbreviations[0])

/* UTF-8 as RFC 3629 has it: shortest form, no surrogates, nothing above U+10FFFF. */
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

/* A nibble, or 15 and what is more than 15 behind it. */
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

static bpz_status read_head(const uint8_t *data, size_t *offset, size_t end, size_t *shared, size_t *stored) {
    uint8_t head;
    bpz_status status;
    if (*offset >= end) return BPZ_ERROR_TRUNCATED;
    head = data[(*offset)++];
    status = read_count(head >> 4, data, offset, end, shared);
    if (status == BPZ_OK) status = read_count(head & 15u, data, offset, end, stored);
    if (status == BPZ_OK && *stored > end - *offset) status = BPZ_ERROR_TRUNCATED;
    return status;
}

bpz_status bpzi_name_read(char *name, size_t *length, const uint8_t *data, size_t *offset, size_t end) {
    size_t shared, stored, at, checked;
    const bpz_status status = read_head(data, offset, end, &shared, &stored);
    if (status != BPZ_OK) return status;
    if (shared > *length) return BPZ_ERROR_CORRUPT;
    at = shared;
    for (; stored != 0; stored--) {
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
    /* What is shared was checked with the name before; its last character may have been cut. */
    for (checked = shared; checked != 0;) {
        if (((uint8_t)name[--checked] & 0xC0u) != 0x80u) break;
    }
    return at != 0 && is_utf8(name + checked, at - checked) ? BPZ_OK : BPZ_ERROR_CORRUPT;
}
