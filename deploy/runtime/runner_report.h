/* runner_report.h - how the runner prints its report. Included by runner.c and runner_facts.h alone.
 *
 * The report is one JSON object on standard output, in lines that each begin with a marker: text behind the markers, put
 * together, is the object. A shell, an emulator or an OpenCL driver in this process may print lines of its own before,
 * between and after; it cannot print within one, since each is written at once. deploy/devices/report.py reads them.
 */
#ifndef BAYESPRESS_RUNNER_REPORT_H
#define BAYESPRESS_RUNNER_REPORT_H

#include <stdarg.h>
#include <stdio.h>

/* Its number changes with the report's schema. */
static const char report_marker[] = "bayespress-report-1 ";

static char report_line[1u << 14];
static size_t report_used;

/* Write what there is as a line. */
static void report_flush(void) {
    if (report_used > 0) {
        fflush(stdout); /* what others have printed, so that the line is in one piece */
        printf("%s%.*s\n", report_marker, (int)report_used, report_line);
        fflush(stdout);
        report_used = 0;
    }
}

/* As printf, into the report; no more than 4096 bytes at once. */
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

/* A JSON string; bytes that are not printable ASCII, of names that a driver or a system gives, become '?'. */
static void report_string(const char *text) {
    report("\"");
    for (; *text != '\0'; text++) {
        const unsigned char byte = (unsigned char)*text;
        report("%s%c", byte == '"' || byte == '\\' ? "\\" : "", byte >= ' ' && byte <= '~' ? byte : '?');
    }
    report("\"");
}

#endif /* BAYESPRESS_RUNNER_REPORT_H */
