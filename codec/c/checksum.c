/* checksum.c - CRC-32 in four bits at a time, or in eight bytes at a time by tables that the caller has room for. */
#include "checksum.h"

#include "number.h"

#define BPZ_LONG 4096u /* from here on making tables pays */

static const uint32_t nibble[16] = {0x00000000u, 0x1DB71064u, 0x3B6E20C8u, 0x26D930ACu, 0x76DC4190u, 0x6B6B51F4u,
                                    0x4DB26158u, 0x5005713Cu, 0xEDB88320u, 0xF00F9344u, 0xD6D6A3E8u, 0xCB61B38Cu,
                                    0x9B64C2B0u, 0x86D3D2D4u, 0xA00AE278u, 0xBDBDF21Cu};

static inline uint32_t one_byte(uint32_t crc) {
    crc = crc >> 4 ^ nibble[crc & 15u];
    return crc >> 4 ^ nibble[crc & 15u];
}

/* table[256 k + b]: what the byte b comes to with k bytes of zeros behind it. */
static void make_table(uint32_t *table) {
    uint32_t at;
    for (at = 0; at < 256u; at++) table[at] = one_byte(at);
    for (; at < BPZ_CHECKSUM_TABLE; at++) table[at] = table[at - 256u] >> 8 ^ table[table[at - 256u] & 255u];
}

int bpzi_checksum_matches(const uint8_t *data, size_t size, uint32_t *table) {
    uint32_t crc = 0xFFFFFFFFu;
    if (table != NULL && size >= BPZ_LONG) {
        make_table(table);
        for (; size >= 8u; size -= 8u, data += 8) {
            const uint32_t low = crc ^ bpzi_word_at(data), high = bpzi_word_at(data + 4);
            crc = table[1792u + (low & 255u)] ^ table[1536u + (low >> 8 & 255u)] ^ table[1280u + (low >> 16 & 255u)] ^
                  table[1024u + (low >> 24)] ^ table[768u + (high & 255u)] ^ table[512u + (high >> 8 & 255u)] ^
                  table[256u + (high >> 16 & 255u)] ^ table[high >> 24];
        }
    }
    for (; size != 0; size--) crc = one_byte(crc ^ *data++);
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
    return 1; /* a fuzzer cannot guess checksums; what comes behind them is what it is for */
#else
    return ~crc == bpzi_word_at(data);
#endif
}
