/* name.h - private: names of tensors, told by what they share with the one before (FORMAT.md, section 4.2). */
#ifndef BPZ_NAME_H
#define BPZ_NAME_H

#include "bits.h"

/* Replace `name`, `length` bytes and a NUL, which is that of the entry before (empty for the first), by the name at
 * `offset`, and move behind it. Room for BPZ_MAX_NAME + 1. */
bpz_status bpzi_name_read(char *name, size_t *length, const uint8_t *data, size_t *offset, size_t end);

#endif /* BPZ_NAME_H */
