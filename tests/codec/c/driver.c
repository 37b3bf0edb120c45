/* driver.c - decodes files from standard input, for tests under sanitizers and on other machines.
 *
 * In: for each file its length as 4 bytes, little-endian, and its bytes. Out: one line a file, with bpz_open's
 * status, then for each tensor the status of bpz_decode_with_usage and bpz_decode and a hash of the decoded values, or
 * "skipped" where a tensor has more than LARGEST elements or rows.
 */
#include <inttypes.h>

#include "checks.h"

#define LARGEST (1u << 20)

static void print_tensor(const bpz_file *file, uint32_t index) {
    const checked result = check_tensor(file, index, LARGEST);
    if (result.skipped) {
        printf(" skipped");
        return;
    }
    printf(" %d/%d/", (int)result.levels, (int)result.values);
    if (result.values == BPZ_OK) printf("%016" PRIx64, result.hash);
}

int main(void) {
    unsigned char size_bytes[4];
    while (fread(size_bytes, 1, 4, stdin) == 4) {
        const size_t size = (size_t)size_bytes[0] | (size_t)size_bytes[1] << 8 | (size_t)size_bytes[2] << 16 |
                            (size_t)size_bytes[3] << 24;
        unsigned char *data = exact_buffer(size);
        bpz_file file;
        bpz_status status;
        uint32_t index;
        if (fread(data, 1, size, stdin) != size) return 1;
        status = bpz_open(&file, data, size);
        printf("%d", (int)status);
        for (index = 0; status == BPZ_OK && index < file.tensor_count; index++) print_tensor(&file, index);
        printf("\n");
        release_buffer(data, size);
    }
    return 0;
}
