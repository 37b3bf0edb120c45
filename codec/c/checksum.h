/* checksum.h - private: CRC-32 as in IEEE 802.3, zlib and PNG: reflected, polynomial 0xEDB88320. */
#ifndef BPZ_CHECKSUM_H
#define BPZ_CHECKSUM_H

#include "bits.h"

#define BPZ_CHECKSUM_BYTES 4u
#define BPZ_CHECKSUM_TABLE (8u * 256u)

/* Whether the four bytes behind `size` bytes are their CRC-32. `table` may be NULL; with room for BPZ_CHECKSUM_TABLE
 * numbers long data are several times quicker. */
int bpzi_checksum_matches(const uint8_t *data, size_t size, uint32_t *table);

#endif /* BPZ_CHECKSUM_H */
