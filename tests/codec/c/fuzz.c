/* fuzz.c - libFuzzer's way into the decoder. The input is a file without its checksum, which is put behind it here: the
 * checks that come after it are what is to be tested.
 */
#include "checks.h"

#define LARGEST (1u << 14)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint32_t crc32(const uint8_t *data, size_t size) {
    uint32_t crc = 0xFFFFFFFFu;
    size_t at;
    int bit;
    for (at = 0; at < size; at++) {
        crc ^= data[at];
        for (bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (0xEDB88320u & (0u - (crc & 1u)));
    }
    return ~crc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint8_t *const whole = exactly(size + 4u);
    const uint32_t crc = crc32(data, size);
    bpz_file file;
    uint32_t index;
    unsigned byte;
    if (size != 0) memcpy(whole, data, size);
    for (byte = 0; byte < 4; byte++) whole[size + byte] = (uint8_t)(crc >> (8u * byte));
    if (bpz_open(&file, whole, size + 4u) == BPZ_OK) {
        for (index = 0; index < file.tensor_count && index < 8u; index++) (void)check_tensor(&file, index, LARGEST);
    }
    free(whole);
    return 0;
}
