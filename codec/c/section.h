/* section.h - private: the section of a tensor (FORMAT.md, section 5): its value map, its payload, and values of
 * levels. */
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

/* Find the section of a tensor in the window of the file, verify its checksum where it has one, and read its value map.
 * `table` is that of bpzi_checksum_matches. The pointers lead into the bytes of the file. BPZ_ERROR_ARGUMENT when the
 * window does not hold the section. */
bpz_status bpzi_section_read(bpzi_section *section, const bpz_file *file, const bpz_tensor *tensor, uint32_t *table);

/* The value of a level, by its bits. BPZ_ERROR_CORRUPT for a level outside its codebook or minifloat, and for a product
 * on a grid that is not finite: no encoder writes these. */
bpz_status bpzi_value_of(const bpz_value_map *map, int32_t level, uint32_t *word);

/* Stored value number `index`, from 0, by its bits as a float32. */
uint32_t bpzi_stored_value(const uint8_t *values, uint32_t storage, size_t index);

#endif /* BPZ_SECTION_H */
