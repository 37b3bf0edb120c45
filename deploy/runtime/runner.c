/* runner.c - a program around the library: reads a .bpz and inputs, prints outputs and times as JSON.
 *
 *     runner WEIGHTS.bpz INPUT.f32 [--repeat N] [--warmup N] [--layers] [--threads N] [--digests] [--facts]
 *
 * INPUT.f32 holds one or several inputs as little-endian float32. --digests adds a CRC-32 of each tensor as it decodes
 * here, --facts what the system says of the machine. Exit status: 0 done, 1 the weights or the
 * network failed, 2 bad usage or a file that cannot be read. Errors are one sentence on standard error.
 */
#define _POSIX_C_SOURCE 200112L

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bayespress.h"
#include "bpz.h"

enum { EXIT_FAILED = 1, EXIT_USAGE = 2 };

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void *checked_alloc(size_t alignment, size_t size) {
    void *block = NULL;
    if (posix_memalign(&block, alignment, size > 0 ? size : 1) != 0) {
        fprintf(stderr, "runner: %zu bytes of memory are not to be had.\n", size);
        exit(EXIT_FAILED);
    }
    return block;
}

/* The whole file or pipe, in memory that any type may lie in. */
static void *read_file(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    unsigned char *data = NULL;
    size_t capacity = 1u << 16, count = 1;
    *size = 0;
    while (file != NULL && count > 0) {
        unsigned char *larger = realloc(data, capacity);
        if (larger == NULL) {
            fprintf(stderr, "runner: %zu bytes of memory are not to be had.\n", capacity);
            exit(EXIT_FAILED);
        }
        data = larger;
        count = fread(data + *size, 1, capacity - *size, file);
        *size += count;
        if (*size == capacity) {
            capacity *= 2;
        }
    }
    if (file == NULL || ferror(file)) {
        fprintf(stderr, "runner: %s cannot be read; check the path.\n", path);
        exit(EXIT_USAGE);
    }
    fclose(file);
    return data;
}

static int compare(const void *a, const void *b) {
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static unsigned long parse_count(const char *option, const char *text) {
    char *end = NULL;
    const unsigned long value = text != NULL ? strtoul(text, &end, 10) : 0;
    if (text == NULL || end == text || *end != '\0' || *text == '-' || value > 100000000ul) {
        fprintf(stderr, "runner: %s needs a number from 0 to 100000000, not %s.\n", option, text ? text : "nothing");
        exit(EXIT_USAGE);
    }
    return value;
}

static void fail(const bp_network *network, bp_status status) {
    fprintf(stderr, "runner: %s (status %d)", bp_status_text(status), (int)status);
    if (status == BP_ERROR_WEIGHTS) {
        fprintf(stderr, ": %s (status %d)", bpz_status_text((bpz_status)network->weights_status),
                network->weights_status);
    }
    fprintf(stderr, ".\n");
    exit(EXIT_FAILED);
}

static void print_outputs(const bp_network *network, const float *inputs, size_t examples) {
    float *output = checked_alloc(BP_ALIGNMENT, bp_output_size() * sizeof(float));
    size_t example, i;
    for (example = 0; example < examples; example++) {
        const uint64_t before = now_ns();
        const bp_status status = bp_run(network, inputs + example * bp_input_size(), output);
        if (status != BP_OK) {
            fail(network, status);
        }
        if (example == 0) {
            printf(", \"first_ns\": %llu, \"outputs\": [", (unsigned long long)(now_ns() - before));
        }
        printf("%s[", example == 0 ? "" : ", ");
        for (i = 0; i < bp_output_size(); i++) {
            /* JSON knows no NaN or infinity. */
            if (output[i] - output[i] != 0.0f) {
                printf("%snull", i == 0 ? "" : ", ");
            } else {
                printf("%s%.9g", i == 0 ? "" : ", ", (double)output[i]);
            }
        }
        printf("]");
    }
    printf("]");
    free(output);
}

static void print_run_times(const bp_network *network, const float *input, unsigned long warmup, unsigned long repeat) {
    float *output = checked_alloc(BP_ALIGNMENT, bp_output_size() * sizeof(float));
    uint64_t *times = checked_alloc(BP_ALIGNMENT, repeat * sizeof(uint64_t));
    unsigned long i;
    for (i = 0; i < warmup + repeat; i++) {
        const uint64_t before = now_ns();
        const bp_status status = bp_run(network, input, output);
        if (status != BP_OK) {
            fail(network, status);
        }
        if (i >= warmup) {
            times[i - warmup] = now_ns() - before;
        }
    }
    qsort(times, repeat, sizeof *times, compare);
    printf(", \"run_ns\": {\"repeat\": %lu, \"min\": %llu, \"p10\": %llu, \"median\": %llu, \"p90\": %llu, \"p99\": %llu}",
           repeat, (unsigned long long)times[0], (unsigned long long)times[repeat / 10],
           (unsigned long long)times[repeat / 2], (unsigned long long)times[repeat * 9 / 10],
           (unsigned long long)times[repeat * 99 / 100]);
    free(times);
    free(output);
}

/* The first line of a file that begins with `key`, what stands behind its colon; or the first line, without a key. */
static int read_line(const char *path, const char *key, char *line, size_t size) {
    FILE *file = fopen(path, "r");
    int found = 0;
    while (file != NULL && !found && fgets(line, (int)size, file) != NULL) {
        found = strncmp(line, key, strlen(key)) == 0;
    }
    if (file != NULL) {
        fclose(file);
    }
    if (found) {
        char *value = *key != '\0' ? strchr(line, ':') : NULL;
        value = value != NULL ? value + 1 + strspn(value + 1, " \t") : line;
        memmove(line, value, strlen(value) + 1);
        line[strcspn(line, "\n")] = '\0';
    }
    return found;
}

static void print_fact(const char *name, const char *path, const char *key, int number) {
    char line[160];
    size_t i;
    printf(", \"%s\": ", name);
    if (!read_line(path, key, line, sizeof line)) {
        printf("null");
        return;
    }
    if (number) {
        printf("%.1f", strtod(line, NULL) / 1000.0);
        return;
    }
    putchar('"');
    for (i = 0; line[i] != '\0'; i++) {
        if ((unsigned char)line[i] >= ' ' && line[i] != '"' && line[i] != '\\') {
            putchar(line[i]);
        }
    }
    putchar('"');
}

/* What Linux tells any process; null where it does not. */
static void print_facts(void) {
    char line[160]; /* of this program's own peak: getrusage's is that of the process it was started from */
    const int known = read_line("/proc/self/status", "VmHWM", line, sizeof line);
    printf(", \"facts\": {\"peak_kb\": ");
    if (known) {
        printf("%ld", strtol(line, NULL, 10));
    } else {
        printf("null");
    }
    print_fact("cpu", "/proc/cpuinfo", "model name", 0);
    print_fact("hardware", "/proc/cpuinfo", "Hardware", 0);
    print_fact("part", "/proc/cpuinfo", "CPU part", 0);
    print_fact("governor", "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "", 0);
    print_fact("temperature_c", "/sys/class/thermal/thermal_zone0/temp", "", 1);
    printf("}");
}

static uint32_t crc32_of(const unsigned char *data, size_t size) {
    uint32_t crc = 0xffffffffu;
    size_t i;
    int bit;
    for (i = 0; i < size; i++) {
        crc ^= data[i];
        for (bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ (0xedb88320u & (0u - (crc & 1u)));
        }
    }
    return ~crc;
}

/* CRC-32 of each tensor's float32 values, in the order of the file. */
static void print_digests(const unsigned char *bpz, size_t bpz_size) {
    void *workspace = checked_alloc(BP_ALIGNMENT, bpz_workspace_size());
    bpz_file file;
    bpz_tensor tensor;
    uint32_t i;
    bpz_status status = bpz_open(&file, bpz, bpz_size);
    printf(", \"digests\": [");
    for (i = 0; status == BPZ_OK && i < file.tensor_count; i++) {
        status = i == 0 ? bpz_tensor_at(&file, 0, &tensor) : bpz_next(&file, &tensor);
        if (status == BPZ_OK) {
            const size_t count = (size_t)tensor.count;
            float *values = checked_alloc(BP_ALIGNMENT, count * sizeof(float));
            status = bpz_decode(&file, &tensor, BPZ_FLOAT32, values, count, workspace, bpz_workspace_size());
            printf("%s%lu", i == 0 ? "" : ", ",
                   (unsigned long)crc32_of((const unsigned char *)values, count * sizeof(float)));
            free(values);
        }
    }
    printf("]");
    if (status != BPZ_OK) {
        fprintf(stderr, "runner: %s (status %d).\n", bpz_status_text(status), (int)status);
        exit(EXIT_FAILED);
    }
    free(workspace);
}

/* Mean of each kernel over the repeats; the clock's own cost is inside. */
static void print_layers(const bp_network *network, const float *input, unsigned long repeat) {
    const size_t count = bp_kernel_count();
    float *output = checked_alloc(BP_ALIGNMENT, bp_output_size() * sizeof(float));
    uint64_t *times = checked_alloc(BP_ALIGNMENT, 2 * count * sizeof(uint64_t)), *sums = times + count;
    unsigned long i;
    size_t kernel;
    memset(sums, 0, count * sizeof *sums);
    for (i = 0; i < repeat; i++) {
        const bp_status status = bp_run_timed(network, input, output, now_ns, times);
        if (status != BP_OK) {
            fail(network, status);
        }
        for (kernel = 0; kernel < count; kernel++) {
            sums[kernel] += times[kernel];
        }
    }
    printf(", \"layers\": [");
    for (kernel = 0; kernel < count; kernel++) {
        printf("%s{\"kernel\": \"%s\", \"mean_ns\": %.1f}", kernel == 0 ? "" : ", ", bp_kernel_name(kernel),
               (double)sums[kernel] / (double)repeat);
    }
    printf("]");
    free(times);
    free(output);
}

/* All inputs as one batch, again and again. */
static void print_batch_times(const bp_network *network, const float *inputs, size_t examples, unsigned long threads,
                              unsigned long repeat) {
    float *outputs = checked_alloc(BP_ALIGNMENT, examples * bp_output_size() * sizeof(float));
    uint64_t *times = checked_alloc(BP_ALIGNMENT, repeat * sizeof(uint64_t));
    bp_network networks[BP_MAX_THREADS];
    unsigned long i;
    networks[0] = *network;
    for (i = 1; i < threads; i++) {
        const bp_status status =
            bp_fork(&networks[i], network, checked_alloc(BP_ALIGNMENT, bp_arena_size()), bp_arena_size());
        if (status != BP_OK) {
            fail(network, status);
        }
    }
    for (i = 0; i <= repeat; i++) { /* the first one warms up */
        const uint64_t before = now_ns();
        const bp_status status = bp_run_batch(networks, threads, inputs, examples, outputs);
        if (status != BP_OK) {
            fail(network, status);
        }
        if (i > 0) {
            times[i - 1] = now_ns() - before;
        }
    }
    qsort(times, repeat, sizeof *times, compare);
    printf(", \"batch_ns\": {\"examples\": %zu, \"threads\": %lu, \"repeat\": %lu, \"min\": %llu, \"median\": %llu}",
           examples, threads, repeat, (unsigned long long)times[0], (unsigned long long)times[repeat / 2]);
    for (i = 1; i < threads; i++) {
        free(networks[i].arena);
    }
    free(times);
    free(outputs);
}

int main(int argc, char **argv) {
    unsigned long repeat = 0, warmup = 10, threads = 0;
    int layers = 0, digests = 0, facts = 0, i;
    const char *paths[2] = {NULL, NULL};
    int path_count = 0;
    size_t bpz_size, input_bytes, input_size = bp_input_size() * sizeof(float);
    unsigned char *bpz;
    float *inputs;
    void *workspace;
    uint64_t before, loaded;
    bp_network network;
    bp_status status;
    for (i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--repeat") == 0) {
            repeat = parse_count("--repeat", argv[++i]);
        } else if (strcmp(argv[i], "--warmup") == 0) {
            warmup = parse_count("--warmup", argv[++i]);
        } else if (strcmp(argv[i], "--threads") == 0) {
            threads = parse_count("--threads", argv[++i]);
        } else if (strcmp(argv[i], "--layers") == 0) {
            layers = 1;
        } else if (strcmp(argv[i], "--digests") == 0) {
            digests = 1;
        } else if (strcmp(argv[i], "--facts") == 0) {
            facts = 1;
        } else if (argv[i][0] != '-' && path_count < 2) {
            paths[path_count++] = argv[i];
        } else {
            path_count = -1;
            break;
        }
    }
    if (path_count != 2) {
        fprintf(stderr, "usage: runner WEIGHTS.bpz INPUT.f32 [--repeat N] [--warmup N] [--layers] [--threads N] [--digests] "
                        "[--facts]\n");
        return EXIT_USAGE;
    }
    if (threads > BP_MAX_THREADS) {
        fprintf(stderr, "runner: %lu threads are too many; %d is the most.\n", threads, BP_MAX_THREADS);
        return EXIT_USAGE;
    }
    bpz = read_file(paths[0], &bpz_size);
    inputs = read_file(paths[1], &input_bytes);
    if (input_bytes == 0 || input_bytes % input_size != 0) {
        fprintf(stderr, "runner: %s has %zu bytes, and one input has %zu.\n", paths[1], input_bytes, input_size);
        return EXIT_USAGE;
    }
    workspace = checked_alloc(BP_ALIGNMENT, bp_workspace_size());
    before = now_ns();
    status = bp_load(&network, bpz, bpz_size, workspace, bp_workspace_size());
    if (status != BP_OK) {
        fail(&network, status);
    }
    loaded = now_ns() - before;
    printf("{\"load_ns\": %llu, \"workspace_bytes\": %zu", (unsigned long long)loaded, bp_workspace_size());
    print_outputs(&network, inputs, input_bytes / input_size);
    if (digests) {
        print_digests(bpz, bpz_size);
    }
    if (repeat > 0) {
        print_run_times(&network, inputs, warmup, repeat);
        if (layers) {
            print_layers(&network, inputs, repeat);
        }
        if (threads > 0) {
            print_batch_times(&network, inputs, input_bytes / input_size, threads, repeat);
        }
    }
    if (facts) {
        print_facts();
    }
    printf("}\n");
    free(workspace);
    free(inputs);
    free(bpz);
    return 0;
}
