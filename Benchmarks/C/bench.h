// What the reference programs share: numbers from the command line, the clock, pinning, and one way to report.
//
// A report is lines of "name value unit" on stdout, one figure each, for tools/bench to read.

#ifndef SPILLWAY_BENCH_H
#define SPILLWAY_BENCH_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <sched.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { EXIT_USAGE = 64 };

/// Ends the program with a message on stderr.
__attribute__((noreturn, format(printf, 2, 3))) static inline void fail(int status, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(status);
}

/// An unsigned number, whole and within its limits, or the end of the program.
static inline uint64_t number(const char *option, const char *text, uint64_t least, uint64_t greatest) {
    char *end;
    unsigned long long value = strtoull(text, &end, 10);
    if (end == text || *end != 0 || text[0] == '-' || value < least || value > greatest)
        fail(EXIT_USAGE, "--%s: %s is not a number from %llu to %llu", option, text, (unsigned long long)least,
             (unsigned long long)greatest);
    return value;
}

static inline double clock_seconds(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/// Wall time that never jumps, and the processor time of the calling thread, in seconds.
static inline double wall_seconds(void) { return clock_seconds(CLOCK_MONOTONIC); }
static inline double thread_seconds(void) { return clock_seconds(CLOCK_THREAD_CPUTIME_ID); }

/// Restricts the calling thread to one CPU.
static inline void pin(int cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set) != 0)
        fail(71, "cannot run on CPU %d", cpu);
}

static inline void report(const char *name, double value, const char *unit) {
    printf("%s %.6g %s\n", name, value, unit);
}

static inline void report_count(const char *name, uint64_t value, const char *unit) {
    printf("%s %llu %s\n", name, (unsigned long long)value, unit);
}

#endif
