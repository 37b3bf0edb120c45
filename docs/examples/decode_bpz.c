/* decode_bpz.c - print the name, the size and the first value of each tensor in a .bpz file.
 *
 *     cc -std=c99 -I codec/c docs/examples/decode_bpz.c $(find codec/c -name '*.c') -o decode_bpz
 *     ./decode_bpz net.bpz
 */
#include <stdio.h>
#include <stdlib.h>

#include "bpz.h"

static void *read_file(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    unsigned char *data = NULL;
    long length;
    if (file && fseek(file, 0, SEEK_END) == 0 && (length = ftell(file)) > 0 && fseek(file, 0, SEEK_SET) == 0) {
        *size = (size_t)length;
        data = malloc(*size);
        if (data && fread(data, 1, *size, file) != *size) {
            free(data);
            data = NULL;
        }
    }
    if (file) fclose(file);
    return data;
}

int main(int argc, char **argv) {
    size_t size = 0;
    void *data = argc == 2 ? read_file(argv[1], &size) : NULL;
    void *workspace = malloc(bpz_workspace_size());
    bpz_file file;
    bpz_tensor tensor;
    bpz_status status;
    if (!data || !workspace) {
        fputs("usage: decode_bpz FILE.bpz (a file that can be read)\n", stderr);
        return 2;
    }
    status = bpz_open(&file, data, size);
    for (uint32_t index = 0; status == BPZ_OK && index < file.tensor_count; ++index) {
        status = bpz_tensor_at(&file, index, &tensor);
        if (status != BPZ_OK) break;
        float *values = malloc((size_t)tensor.count * sizeof *values + 1);
        if (!values) return 1;
        status = bpz_decode(&file, &tensor, BPZ_FLOAT32, values, (size_t)tensor.count, workspace, bpz_workspace_size());
        if (status == BPZ_OK)
            printf("%s %llu %.9g\n", tensor.name, (unsigned long long)tensor.count, tensor.count ? values[0] : 0.0f);
        free(values);
    }
    if (status != BPZ_OK) fprintf(stderr, "%s\n", bpz_status_text(status));
    free(workspace);
    free(data);
    return status == BPZ_OK ? 0 : 1;
}
