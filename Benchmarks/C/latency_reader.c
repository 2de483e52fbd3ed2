// Reads a stream of packets and measures how old each one is when its first byte comes: pcapng in nanoseconds from a
// connection to --port on loopback, or classic pcap from standard input.
//
// It ends with the stream and reports the count and percentiles.

#include "bench.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUFFER = 1 << 20, MOST = 1 << 23, ENHANCED_PACKET = 6 };

static uint8_t buffer[BUFFER];
static uint32_t *ages;
static size_t count;

static uint64_t realtime(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static inline uint32_t word(const uint8_t *bytes) {
    uint32_t value;
    memcpy(&value, bytes, sizeof value);
    return value;
}

/// Takes note of a packet of this time, seen now. One that seems to come from the future is as new as can be.
static void take(uint64_t time, uint64_t now) {
    if (count == MOST) return;
    const uint64_t age = now > time ? now - time : 0;
    ages[count++] = age < UINT32_MAX ? (uint32_t)age : UINT32_MAX;
}

/// Length of the pcapng block or classic record at `bytes`, 0 if more bytes are needed to know it; takes note of packets.
static size_t pcapng(const uint8_t *bytes, size_t length, uint64_t now) {
    if (length < 28) return 0;
    if (word(bytes) == ENHANCED_PACKET) take((uint64_t)word(bytes + 12) << 32 | word(bytes + 16), now);
    return word(bytes + 4);
}

static size_t classic(const uint8_t *bytes, size_t length, uint64_t now) {
    static uint64_t unit;
    if (!unit) {
        if (length < 24) return 0;
        unit = word(bytes) == 0xa1b23c4d ? 1 : 1000;
        return 24;
    }
    if (length < 16) return 0;
    take(word(bytes) * 1000000000ull + word(bytes + 4) * unit, now);
    return 16 + word(bytes + 8);
}

static int listen_on_loopback(uint16_t port) {
    const int listener = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 1) != 0)
        fail(71, "cannot listen on 127.0.0.1:%u: %s", port, strerror(errno));
    return accept(listener, NULL, NULL);
}

static int by_age(const void *a, const void *b) {
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

int main(int argument_count, char **arguments) {
    uint16_t port = 0;
    const struct option options[] = {{"port", 1, NULL, 'p'}, {0}};
    for (int option; (option = getopt_long(argument_count, arguments, "", options, NULL)) != -1;) {
        if (option != 'p') fail(EXIT_USAGE, "usage: latency_reader [--port N]");
        port = (uint16_t)number("port", optarg, 1, 65535);
    }
    ages = malloc(MOST * sizeof *ages);
    memset(ages, 0, MOST * sizeof *ages);
    const int input = port ? listen_on_loopback(port) : 0;
    size_t used = 0, skip = 0;
    for (;;) {
        const ssize_t got = read(input, buffer + used, BUFFER - used);
        const uint64_t now = realtime();
        if (got == 0) break;
        if (got < 0) fail(74, "read: %s", strerror(errno));
        used += (size_t)got;
        size_t at = skip < used ? skip : used;
        skip -= at;
        while (skip == 0 && at < used) {
            const size_t length = port ? pcapng(buffer + at, used - at, now) : classic(buffer + at, used - at, now);
            if (length == 0) break;
            const size_t here = length < used - at ? length : used - at;
            at += here;
            skip = length - here;
        }
        memmove(buffer, buffer + at, used - at);
        used -= at;
    }
    qsort(ages, count, sizeof *ages, by_age);
    report_count("packets", count, "packets");
    report("p50", count ? ages[count / 2] / 1e3 : 0, "us");
    report("p99", count ? ages[count - 1 - count / 100] / 1e3 : 0, "us");
    return 0;
}
