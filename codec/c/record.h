/* record.h - private: the byte fields of a tensor's record (FORMAT.md, section 4). */
#ifndef BPZ_RECORD_H
#define BPZ_RECORD_H

#include "bits.h"
#include "bpz_levels.h"
#include "name.h"

#define BPZ_MAX_ELEMENTS 0x7FFFFFFFu
#define BPZ_MAX_TENSORS 4096u
#define BPZ_MAX_CODEBOOK 65536u

/* A record taken apart. */
typedef struct bpz_record {
    bpz_tensor tensor;
    bpz_value_map map;
    const uint8_t *payload; /* raw float32, or the bit stream */
    size_t payload_size;
    size_t frame_size, name_size, shape_size, map_size; /* bytes of those fields, for bpz_spent */
} bpz_record;

/* Take the record at `offset` apart; it must end at or before `end`, both offsets into `data`. `name` goes in with the
 * name of the record before and comes out with this one's; NULL leaves the tensor without a name. */
bpz_status bpz_record_read(bpz_record *record, bpz_name *name, const uint8_t *data, size_t offset, size_t end);

/* A float32 from its four little-endian bytes. */
float bpz_float_at(const uint8_t *bytes);

/* Whether a float32 is neither infinite nor a NaN, also under a compiler told to assume so. */
int bpz_is_finite(float value);

/* The same length-prefixed number that bpz_open uses: an unsigned LEB128 of at most 5 bytes, below 2^31. */
bpz_status bpz_varint_read(const uint8_t *data, size_t *offset, size_t end, uint32_t *value);

#endif /* BPZ_RECORD_H */
