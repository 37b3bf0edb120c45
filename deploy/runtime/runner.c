/* runner.c - a program around the library: loads a .bpz, runs inputs, and prints outputs and times as JSON.
 *
 *     runner WEIGHTS.bpz INPUT.f32 [--repeat N] [--warmup N] [--layers] [--threads N] [--digests] [--facts]
 *                                  [--no-outputs] [--gpu] [--gpu-cache FILE]
 *
 * It is what `verify` and `bench` start on every device: one static program, without Python or a runtime of TVM, that
 * reads two files. The report on standard output is the JSON that deploy/devices/report.py describes, in lines with a
 * marker (runner_report.h).
 *
 * INPUT.f32     one or several inputs as little-endian float32
 * --repeat N    measure N runs of the first input, after --warmup N runs (10) that are not counted
 * --layers      with --repeat: the mean time of each kernel too
 * --threads N   with --repeat: all inputs as a batch on N threads too
 * --digests     a CRC-32 of each tensor as it is decoded here
 * --facts       what the system knows of the machine
 * --no-outputs  run the first input only, and print no output
 * --gpu         run on the first OpenCL device; on the processor, with the reason, when there is none or the runner was
 *               built without OpenCL. --gpu-cache FILE keeps compiled kernels.
 *
 * Exit status: 0 done, 1 the weights or the network failed, 2 wrong usage or a file that cannot be read. Errors are one
 * sentence on standard error.
 */
#define _POSIX_C_SOURCE 200112L

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bayespress.h"
#include "bpz.h"
#include "runner_facts.h"
#include "runner_report.h"
#ifdef BP_WITH_GPU
#include "bayespress_gpu.h"
#endif

enum { EXIT_FAILED = 1, EXIT_USAGE = 2 };

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Memory for `count` elements of `size` bytes each, aligned to BP_ALIGNMENT. Their product may exceed a size_t of 32
 * bits. */
static void *checked_alloc(uint64_t count, size_t size) {
    void *block = NULL;
    const uint64_t most = SIZE_MAX - BP_ALIGNMENT;
    if (count > most / (size > 0 ? size : 1) ||
        posix_memalign(&block, BP_ALIGNMENT, count * size > 0 ? (size_t)count * size : 1) != 0) {
        fprintf(stderr, "runner: %llu times %zu bytes of memory are not to be had.\n", (unsigned long long)count, size);
        exit(EXIT_FAILED);
    }
    return block;
}

/* The index of a percentile among `count` sorted times. The product may exceed an unsigned long of 32 bits. */
static size_t percentile(unsigned long count, unsigned percent) { return (size_t)((uint64_t)count * percent / 100); }

/* The contents of a file or pipe, in memory that is aligned for any type. Grows by doubling, since a pipe has no
 * size. */
static void *read_file(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    unsigned char *data = NULL;
    size_t capacity = 1u << 16, count = 1;
    *size = 0;
    while (file != NULL && count > 0) {
        unsigned char *larger = capacity > 0 ? realloc(data, capacity) : NULL; /* 0: doubling has wrapped around */
        if (larger == NULL) {
            fprintf(stderr, "runner: there is no memory for %s, of more than %zu bytes.\n", path, *size);
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
    const size_t length = text != NULL ? strlen(text) : 0;
    const unsigned long value = length > 0 && length <= 9 ? strtoul(text, NULL, 10) : 0; /* nine digits fit anywhere */
    if (length == 0 || length > 9 || strspn(text, "0123456789") != length || value > 100000000ul) {
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

/* The network on the processor, or on a GPU. */
typedef struct subject {
    const bp_network *network;
#ifdef BP_WITH_GPU
    bp_gpu *gpu; /* NULL: on the processor */
#endif
} subject;

/* Run once. `nanoseconds` receives the time of each kernel, or is NULL. */
static void run(const subject *it, const float *input, float *output, uint64_t *nanoseconds) {
    bp_status status;
#ifdef BP_WITH_GPU
    if (it->gpu != NULL) {
        status = bp_gpu_run_timed(it->gpu, input, output, nanoseconds);
    } else
#endif
    {
        status = nanoseconds != NULL ? bp_run_timed(it->network, input, output, now_ns, nanoseconds)
                                     : bp_run(it->network, input, output);
    }
    if (status != BP_OK) {
        fail(it->network, status);
    }
}

static size_t kernel_count(const subject *it) {
#ifdef BP_WITH_GPU
    if (it->gpu != NULL) {
        return bp_gpu_kernel_count(it->gpu);
    }
#endif
    (void)it;
    return bp_kernel_count();
}

static const char *kernel_name(const subject *it, size_t index) {
#ifdef BP_WITH_GPU
    if (it->gpu != NULL) {
        return bp_gpu_kernel_name(it->gpu, index);
    }
#endif
    (void)it;
    return bp_kernel_name(index);
}

/* Switch to the GPU, or report why this failed. */
static void open_gpu(subject *it, const char *cache, const void *bpz, size_t bpz_size) {
#ifdef BP_WITH_GPU
    char reason[200] = "";
    const uint64_t before = now_ns();
    it->gpu = bp_gpu_open(cache, reason, sizeof reason);
    if (it->gpu != NULL) {
        const uint64_t opened = now_ns();
        const bp_status status = bp_gpu_load(it->gpu, bpz, bpz_size);
        if (status != BP_OK) {
            fail(it->network, status);
        }
        report(", \"gpu\": {\"name\": ");
        report_string(bp_gpu_name(it->gpu));
        report(", \"precision\": \"%s\", \"from_cache\": %s, \"open_ns\": %llu, "
               "\"load_ns\": %llu}",
               bp_gpu_precision(it->gpu), bp_gpu_from_cache(it->gpu) ? "true" : "false",
               (unsigned long long)(opened - before), (unsigned long long)(now_ns() - opened));
        return;
    }
#else
    const char *reason = "this runner was built without OpenCL";
    (void)it, (void)cache, (void)bpz, (void)bpz_size;
#endif
    report(", \"gpu\": null, \"gpu_reason\": ");
    report_string(reason);
    fprintf(stderr, "runner: %s; running on the processor.\n", reason);
}

/* Run all inputs and print their outputs; with `silent`, run the first and print none. */
static void print_outputs(const subject *it, const float *inputs, size_t examples, int silent) {
    float *output = checked_alloc(bp_output_size(), sizeof(float));
    size_t example, i;
    for (example = 0; example < examples; example++) {
        const uint64_t before = now_ns();
        run(it, inputs + example * bp_input_size(), output, NULL);
        if (example == 0) {
            report(", \"first_ns\": %llu, \"outputs\": [", (unsigned long long)(now_ns() - before));
        }
        if (silent) {
            break;
        }
        report("%s[", example == 0 ? "" : ", ");
        for (i = 0; i < bp_output_size(); i++) {
            /* JSON has no NaN and no infinity; x - x is NaN for both. */
            if (output[i] - output[i] != 0.0f) {
                report("%snull", i == 0 ? "" : ", ");
            } else {
                report("%s%.9g", i == 0 ? "" : ", ", (double)output[i]);
            }
        }
        report("]");
    }
    report("]");
    free(output);
}

static void print_run_times(const subject *it, const float *input, unsigned long warmup, unsigned long repeat) {
    float *output = checked_alloc(bp_output_size(), sizeof(float));
    uint64_t *times = checked_alloc(repeat, sizeof(uint64_t));
    unsigned long i;
    for (i = 0; i < warmup + repeat; i++) {
        const uint64_t before = now_ns();
        run(it, input, output, NULL);
        if (i >= warmup) {
            times[i - warmup] = now_ns() - before;
        }
    }
    qsort(times, repeat, sizeof *times, compare);
    report(
        ", \"run_ns\": {\"repeat\": %lu, \"min\": %llu, \"p10\": %llu, \"median\": %llu, \"p90\": %llu, \"p99\": %llu}",
        repeat, (unsigned long long)times[0], (unsigned long long)times[percentile(repeat, 10)],
        (unsigned long long)times[percentile(repeat, 50)], (unsigned long long)times[percentile(repeat, 90)],
        (unsigned long long)times[percentile(repeat, 99)]);
    free(times);
    free(output);
}

/* The mean time of each kernel over the repeats, with the cost of reading the clock. */
static void print_layers(const subject *it, const float *input, unsigned long repeat) {
    const size_t count = kernel_count(it);
    float *output = checked_alloc(bp_output_size(), sizeof(float));
    uint64_t *times = checked_alloc(2 * (uint64_t)count, sizeof(uint64_t)), *sums = times + count;
    unsigned long i;
    size_t kernel;
    memset(sums, 0, count * sizeof *sums);
    for (i = 0; i < repeat; i++) {
        run(it, input, output, times);
        for (kernel = 0; kernel < count; kernel++) {
            sums[kernel] += times[kernel];
        }
    }
    report(", \"layers\": [");
    for (kernel = 0; kernel < count; kernel++) {
        report("%s{\"kernel\": ", kernel == 0 ? "" : ", ");
        report_string(kernel_name(it, kernel));
        report(", \"mean_ns\": %.1f}", (double)sums[kernel] / (double)repeat);
    }
    report("]");
    free(times);
    free(output);
}

/* The time of all inputs as one batch, over the repeats. */
static void print_batch_times(const bp_network *network, const float *inputs, size_t examples, unsigned long threads,
                              unsigned long repeat) {
    float *outputs = checked_alloc((uint64_t)examples * bp_output_size(), sizeof(float));
    uint64_t *times = checked_alloc(repeat, sizeof(uint64_t));
    bp_network networks[BP_MAX_THREADS];
    unsigned long i;
    networks[0] = *network;
    for (i = 1; i < threads; i++) {
        const bp_status status = bp_fork(&networks[i], network, checked_alloc(1, bp_arena_size()), bp_arena_size());
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
    report(", \"batch_ns\": {\"examples\": %zu, \"threads\": %lu, \"repeat\": %lu, \"min\": %llu, \"median\": %llu}",
           examples, threads, repeat, (unsigned long long)times[0], (unsigned long long)times[percentile(repeat, 50)]);
    for (i = 1; i < threads; i++) {
        free(networks[i].arena);
    }
    free(times);
    free(outputs);
}

int main(int argc, char **argv) {
    unsigned long repeat = 0, warmup = 10, threads = 0;
    int layers = 0, digests = 0, facts = 0, gpu = 0, silent = 0, i;
    const char *cache = NULL;
    subject it;
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
        } else if (strcmp(argv[i], "--gpu") == 0) {
            gpu = 1;
        } else if (strcmp(argv[i], "--gpu-cache") == 0 && argv[i + 1] != NULL) {
            cache = argv[++i];
        } else if (strcmp(argv[i], "--no-outputs") == 0) {
            silent = 1;
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
        fprintf(stderr,
                "usage: runner WEIGHTS.bpz INPUT.f32 [--repeat N] [--warmup N] [--layers] [--threads N] [--digests] "
                "[--facts] [--no-outputs] [--gpu] [--gpu-cache FILE]\n");
        return EXIT_USAGE;
    }
    if (threads > BP_MAX_THREADS) {
        fprintf(stderr, "runner: %lu threads are too many; %d is the most.\n", threads, BP_MAX_THREADS);
        return EXIT_USAGE;
    }
    bpz = read_file(paths[0], &bpz_size);
    inputs = read_file(paths[1], &input_bytes);
    if (input_bytes == 0 || input_size == 0 || input_bytes % input_size != 0) {
        fprintf(stderr, "runner: %s has %zu bytes, and one input has %zu.\n", paths[1], input_bytes, input_size);
        return EXIT_USAGE;
    }
    workspace = checked_alloc(1, bp_workspace_size());
    memset(&it, 0, sizeof it);
    before = now_ns();
    status = bp_load(&network, bpz, bpz_size, workspace, bp_workspace_size());
    if (status != BP_OK) {
        fail(&network, status);
    }
    loaded = now_ns() - before;
    report("{\"load_ns\": %llu, \"workspace_bytes\": %zu", (unsigned long long)loaded, bp_workspace_size());
    it.network = &network;
    if (gpu) {
        open_gpu(&it, cache, bpz, bpz_size);
    }
    print_outputs(&it, inputs, input_bytes / input_size, silent);
    if (digests) {
        print_digests(bpz, bpz_size);
    }
    if (repeat > 0) {
        print_run_times(&it, inputs, warmup, repeat);
        if (layers) {
            print_layers(&it, inputs, repeat);
        }
        if (threads > 0) {
            print_batch_times(&network, inputs, input_bytes / input_size, threads, repeat);
        }
    }
    if (facts) {
        print_facts();
    }
    report("}");
    report_flush();
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "runner: the report cannot be written; is the disk full?\n");
        return EXIT_FAILED;
    }
#ifdef BP_WITH_GPU
    bp_gpu_close(it.gpu);
#endif
    free(workspace);
    free(inputs);
    free(bpz);
    return 0;
}
