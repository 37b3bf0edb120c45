/* name.h - private: names of tensors, told by what they share with the one before (FORMAT.md, section 4.1). */
#ifndef BPZ_NAME_H
#define BPZ_NAME_H

#include "bits.h"

/* A name in full; `text` ends with NUL. */
typedef struct bpz_name {
    char text[BPZ_MAX_NAME + 1];
    size_t length;
} bpz_name;

/* Replace `name`, the one of the record before (empty for the first), by the name at `offset`, and move behind it. */
bpz_status bpz_name_read(bpz_name *name, const uint8_t *data, size_t *offset, size_t end);

/* Move behind a name without reading it. */
bpz_status bpz_name_skip(const uint8_t *data, size_t *offset, size_t end);

#endif /* BPZ_NAME_H */
