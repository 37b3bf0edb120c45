/* checksum.c - CRC-32, half a byte at a time or eight bytes at a time.
 *
 * Two speeds, because this library keeps no writable tables: 64 bytes of constants serve short data, and code size
 * matters on a small device. For long data the caller lends 8 kB of its workspace (which decoding needs anyway, later),
 * and tables are made there: eight bytes then take eight lookups that do not depend on each other (slicing by eight,
 * Kounavis and Berry 2005), instead of sixteen that do.
 */
#include "checksum.h"

#include "number.h"

#define BPZ_LONG 4096u /* bytes from which on the tables save more time than making them takes */

/* What the low four bits of a remainder add to it when they are shifted out. */
static const uint32_t nibble[16] = {0x00000000u, 0x1DB71064u, 0x3B6E20C8u, 0x26D930ACu, 0x76DC4190u, 0x6B6B51F4u,
                                    0x4DB26158u, 0x5005713Cu, 0xEDB88320u, 0xF00F9344u, 0xD6D6A3E8u, 0xCB61B38Cu,
                                    0x9B64C2B0u, 0x86D3D2D4u, 0xA00AE278u, 0xBDBDF21Cu};

/* Take in the byte that the caller has combined with the lowest byte of `crc`. */
static inline uint32_t one_byte(uint32_t crc) {
    crc = crc >> 4 ^ nibble[crc & 15u];
    return crc >> 4 ^ nibble[crc & 15u];
}

/* table[256 k + b] is the remainder of the byte b followed by k bytes of zeros. */
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
    return 1; /* a fuzzer cannot guess checksums, and is to reach what comes after them */
#else
    return ~crc == bpzi_word_at(data);
#endif
}
