/* name.h - private: names of tensors, stored as the difference to the name before (FORMAT.md, section 4.2).
 *
 * In a small network names are a large part of the file: layers share prefixes, and parameters end in a few words. Both
 * are stored in a byte or two.
 */
#ifndef BPZ_NAME_H
#define BPZ_NAME_H

#include "bits.h"

/* Read a name at `*offset`, which must end at or before `end`, and move `*offset` after it. `name` has room for
 * BPZ_MAX_NAME + 1 bytes. It comes in as the name of the entry before, of `*length` bytes and a NUL (empty for the
 * first entry), and goes out as the new one. After a failure both are unspecified. */
bpz_status bpzi_name_read(char *name, size_t *length, const uint8_t *data, size_t *offset, size_t end);

#endif /* BPZ_NAME_H */
