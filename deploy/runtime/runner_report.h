/* runner_report.h - how the runner prints its report. Included by runner.c and runner_facts.h only.
 *
 * The report is one JSON object on standard output, in lines that each begin with a marker; what follows the markers,
 * joined, is the object. A shell, an emulator or an OpenCL driver in this process may print lines of its own before,
 * between and after them. It cannot print within one, because each line is written at once. deploy/devices/report.py
 * reads them.
 */
#ifndef BAYESPRESS_RUNNER_REPORT_H
#define BAYESPRESS_RUNNER_REPORT_H

#include <stdarg.h>
#include <stdio.h>

/* The number changes with the schema of the report. */
static const char report_marker[] = "bayespress-report-1 ";

static char report_line[1u << 14];
static size_t report_used;

/* Write what is buffered as a line. */
static void report_flush(void) {
    if (report_used > 0) {
        fflush(stdout); /* what others have printed, so that the line stays in one piece */
        printf("%s%.*s\n", report_marker, (int)report_used, report_line);
        fflush(stdout);
        report_used = 0;
    }
}

/* Like printf, into the report; at most 4095 bytes at once. */
#if defined(__GNUC__)
__attribute__((format(printf, 1, 2)))
#endif
static void
report(const char *format, ...) {
    va_list arguments;
    int count;
    if (sizeof report_line - report_used < 4096u) {
        report_flush();
    }
    va_start(arguments, format);
    count = vsnprintf(report_line + report_used, 4096u, format, arguments);
    va_end(arguments);
    if (count > 0) {
        report_used += count < 4096 ? (size_t)count : 4095u;
    }
}

/* A JSON string. Names come from drivers and systems: bytes that are not printable ASCII become '?'. */
static void report_string(const char *text) {
    report("\"");
    for (; *text != '\0'; text++) {
        const unsigned char byte = (unsigned char)*text;
        report("%s%c", byte == '"' || byte == '\\' ? "\\" : "", byte >= ' ' && byte <= '~' ? byte : '?');
    }
    report("\"");
}

#endif /* BAYESPRESS_RUNNER_REPORT_H */
