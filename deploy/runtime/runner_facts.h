/* runner_facts.h - what the runner reports besides outputs and times: facts about the machine, and digests of the
 * weights as they are decoded here. Included by runner.c only: the runner is one source file to compile.
 */
#ifndef BAYESPRESS_RUNNER_FACTS_H
#define BAYESPRESS_RUNNER_FACTS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bpz.h"
#include "runner_report.h"

/* Find the first line of a file that begins with `key`; `line` receives what follows its colon, or the whole line when
 * the key is empty. Returns whether there is one. */
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

/* Print one fact as a string, or as a thousandth of a number; null when the system does not have it. */
static void print_fact(const char *name, const char *path, const char *key, int number) {
    char line[160];
    report(", \"%s\": ", name);
    if (!read_line(path, key, line, sizeof line)) {
        report("null");
        return;
    }
    if (number) {
        report("%.1f", strtod(line, NULL) / 1000.0);
        return;
    }
    report_string(line);
}

/* What Linux reports to any process; null where it reports nothing. */
static void print_facts(void) {
    char line[160]; /* of this program's own peak: getrusage's is that of the process it was started from */
    const int known = read_line("/proc/self/status", "VmHWM", line, sizeof line);
    report(", \"facts\": {\"peak_kb\": ");
    if (known) {
        report("%ld", strtol(line, NULL, 10));
    } else {
        report("null");
    }
    print_fact("cpu", "/proc/cpuinfo", "model name", 0);
    print_fact("hardware", "/proc/cpuinfo", "Hardware", 0);
    print_fact("part", "/proc/cpuinfo", "CPU part", 0);
    print_fact("governor", "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "", 0);
    print_fact("temperature_c", "/sys/class/thermal/thermal_zone0/temp", "", 1);
    report("}");
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
    void *workspace = malloc(bpz_workspace_size());
    bpz_file file;
    bpz_tensor tensor;
    uint32_t i;
    bpz_status status = workspace != NULL ? bpz_open(&file, bpz, bpz_size) : BPZ_ERROR_BUFFER_TOO_SMALL;
    report(", \"digests\": [");
    for (i = 0; status == BPZ_OK && i < file.tensor_count; i++) {
        status = i == 0 ? bpz_tensor_at(&file, 0, &tensor) : bpz_next(&file, &tensor);
        if (status == BPZ_OK) {
            const size_t count = (size_t)tensor.count;
            float *values = tensor.count < SIZE_MAX / sizeof(float) ? malloc(count * sizeof(float) + 1) : NULL;
            status = values == NULL
                         ? BPZ_ERROR_BUFFER_TOO_SMALL
                         : bpz_decode(&file, &tensor, BPZ_FLOAT32, values, count, workspace, bpz_workspace_size());
            if (status == BPZ_OK) {
                report("%s%lu", i == 0 ? "" : ", ",
                       (unsigned long)crc32_of((const unsigned char *)values, count * sizeof(float)));
            }
            free(values);
        }
    }
    report("]");
    if (status != BPZ_OK) {
        fprintf(stderr, "runner: %s (status %d).\n", bpz_status_text(status), (int)status);
        exit(1);
    }
    free(workspace);
}

#endif /* BAYESPRESS_RUNNER_FACTS_H */
