/* run_network.c - run a bundle's network on a file of float32 inputs, and print its outputs, one line for each input.
 *
 *     cc -std=c99 -I net.bundle/targets/host docs/examples/run_network.c net.bundle/targets/host/libnetwork.a \
 *         -lm -pthread -o run_network
 *     ./run_network net.bundle/weights.bpz net.bundle/golden/input.f32
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "bayespress.h"

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

/* The library allocates nothing: it works in the memory that it is given, which must be aligned to BP_ALIGNMENT. */
static void *aligned(void *memory) {
    return (void *)(((uintptr_t)memory + BP_ALIGNMENT - 1) & ~(uintptr_t)(BP_ALIGNMENT - 1));
}

int main(int argc, char **argv) {
    size_t weights_size = 0, inputs_size = 0;
    void *weights = argc == 3 ? read_file(argv[1], &weights_size) : NULL;
    float *inputs = argc == 3 ? read_file(argv[2], &inputs_size) : NULL;
    void *memory = malloc(bp_workspace_size() + BP_ALIGNMENT);
    float *output = malloc(bp_output_size() * sizeof *output);
    bp_network network;
    bp_status status;
    if (!weights || !inputs || !memory || !output) {
        fputs("usage: run_network WEIGHTS.bpz INPUTS.f32 (files that can be read)\n", stderr);
        return 2;
    }

    /* Once: check and decode the weights. The bytes of the file are not needed afterwards. */
    status = bp_load(&network, weights, weights_size, aligned(memory), bp_workspace_size());
    free(weights);

    /* For each input: bp_input_size() floats in, bp_output_size() floats out. */
    size_t count = inputs_size / sizeof(float) / bp_input_size();
    for (size_t index = 0; status == BP_OK && index < count; ++index) {
        status = bp_run(&network, inputs + index * bp_input_size(), output);
        if (status != BP_OK) break;
        for (size_t place = 0; place < bp_output_size(); ++place)
            printf("%.9g%c", (double)output[place], place + 1 < bp_output_size() ? ' ' : '\n');
    }

    if (status != BP_OK) fprintf(stderr, "run_network: %s\n", bp_status_text(status));
    free(output);
    free(memory);
    free(inputs);
    return status == BP_OK ? 0 : 1;
}
