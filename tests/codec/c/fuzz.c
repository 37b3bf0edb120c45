/* fuzz.c - the function that libFuzzer calls. It is built with FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION, which makes
 * the decoder accept every checksum, so that the fuzzer reaches what comes after them. Each input is opened as a whole,
 * and by its directory.
 */
#include "checks.h"

#define LARGEST (1u << 12)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint8_t *const whole = exact_buffer(size);
    bpz_file file, front;
    uint32_t index;
    size_t needed;
    if (size != 0) memcpy(whole, data, size);
    if (bpz_open(&file, whole, size) == BPZ_OK) {
        for (index = 0; index < file.tensor_count && index < 8u; index++) (void)check_tensor(&file, index, LARGEST);
        if (file.is_seekable && (bpz_open_directory(&front, whole, size, &needed) != BPZ_OK || needed > size)) exit(20);
    } else {
        (void)bpz_open_directory(&front, whole, size, &needed);
    }
    release_buffer(whole, size);
    return 0;
}
