/* section.h - private: a tensor's section: value map and payload, and the checksum where there is one (FORMAT.md,
 * section 5). */
#ifndef BPZ_SECTION_H
#define BPZ_SECTION_H

#include "directory.h"

#define BPZ_MAX_CODEBOOK 65536u

typedef struct bpzi_section {
    bpz_value_map map;
    const uint8_t *payload; /* raw values, or the bit stream */
    size_t payload_size;
    size_t map_size; /* bytes of the value map */
} bpzi_section;

/* Find the tensor's section, check it and read its map. `table` as bpzi_checksum_matches has it. */
bpz_status bpzi_section_read(bpzi_section *section, const bpz_file *file, const bpz_tensor *tensor, uint32_t *table);

/* A level's value by its bits. BPZ_ERROR_CORRUPT outside a codebook or a minifloat, and where a grid's product
 * overflows: in a forged file. */
bpz_status bpzi_value_of(const bpz_value_map *map, int32_t level, uint32_t *word);

/* Number `index` of stored values by its bits. */
uint32_t bpzi_stored_value(const uint8_t *values, uint32_t storage, size_t index);

#endif /* BPZ_SECTION_H */
