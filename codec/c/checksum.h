/* checksum.h - private: CRC-32 as in IEEE 802.3, zlib and PNG: reflected, polynomial EDB88320 (FORMAT.md, section
 * 2.6). */
#ifndef BPZ_CHECKSUM_H
#define BPZ_CHECKSUM_H

#include "bits.h"

#define BPZ_CHECKSUM_BYTES 4u
#define BPZ_CHECKSUM_TABLE (8u * 256u) /* numbers in the tables for eight bytes at a time */

/* Whether the four bytes after `size` bytes are the CRC-32 of these; the caller makes sure that they are there. `table`
 * is room for BPZ_CHECKSUM_TABLE numbers, with which long data take a fraction of the time; NULL does without. */
int bpzi_checksum_matches(const uint8_t *data, size_t size, uint32_t *table);

#endif /* BPZ_CHECKSUM_H */
