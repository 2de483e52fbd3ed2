// A receiver that only counts: one TCP connection on loopback, read to its end.
//
// --count-packets follows the pcapng blocks of a little-endian stream and counts Enhanced Packet Blocks; what is not
// pcapng ends the program with status 65. Bytes are counted either way.

#include "bench.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUFFER = 256 << 10, ENHANCED_PACKET = 6, SECTION_HEADER = 0x0a0d0d0a, BLOCK_HEADER = 8 };

/// Where the counter is within a stream that arrives in arbitrary pieces.
struct counter {
    uint8_t header[BLOCK_HEADER];
    size_t header_bytes;
    uint64_t to_skip, packets, blocks;
};

static uint32_t get32(const uint8_t *source) {
    return source[0] | (uint32_t)source[1] << 8 | (uint32_t)source[2] << 16 | (uint32_t)source[3] << 24;
}

static void take_header(struct counter *c) {
    uint32_t type = get32(c->header), length = get32(c->header + 4);
    if (c->blocks == 0 && type != SECTION_HEADER)
        fail(65, "the stream does not begin with a section header block");
    if (length < 12 || length % 4 != 0)
        fail(65, "block %llu has a length of %u", (unsigned long long)c->blocks, length);
    c->blocks++;
    c->packets += type == ENHANCED_PACKET;
    c->to_skip = length - BLOCK_HEADER;
    c->header_bytes = 0;
}

static void count_blocks(struct counter *c, const uint8_t *data, size_t length) {
    while (length > 0) {
        size_t step;
        if (c->to_skip > 0) {
            step = c->to_skip < length ? c->to_skip : length;
            c->to_skip -= step;
        } else {
            step = BLOCK_HEADER - c->header_bytes < length ? BLOCK_HEADER - c->header_bytes : length;
            memcpy(c->header + c->header_bytes, data, step);
            c->header_bytes += step;
            if (c->header_bytes == BLOCK_HEADER)
                take_header(c);
        }
        data += step;
        length -= step;
    }
}

static int listen_on_loopback(uint16_t port) {
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 1) != 0)
        fail(71, "cannot listen on 127.0.0.1:%u: %s", port, strerror(errno));
    socklen_t length = sizeof address;
    getsockname(listener, (struct sockaddr *)&address, &length);
    report_count("port", ntohs(address.sin_port), "port");
    fflush(stdout);
    return listener;
}

/// Waits until there is something to read; the end of the program after so many milliseconds of silence.
static void wait_readable(int descriptor, int milliseconds) {
    struct pollfd entry = {.fd = descriptor, .events = POLLIN};
    int ready = poll(&entry, 1, milliseconds);
    if (ready == 0)
        fail(69, "nothing came for %d ms", milliseconds);
}

int main(int count, char **arguments) {
    uint16_t port = 0;
    int timeout = 60000;
    bool count_packets = false;
    const struct option options[] = {
        {"port", 1, NULL, 'p'}, {"count-packets", 0, NULL, 'c'}, {"timeout", 1, NULL, 't'}, {0}};
    for (int option; (option = getopt_long(count, arguments, "", options, NULL)) != -1;) {
        switch (option) {
        case 'p': port = (uint16_t)number("port", optarg, 0, 65535); break;
        case 'c': count_packets = true; break;
        case 't': timeout = (int)number("timeout", optarg, 1, 86400) * 1000; break;
        default: fail(EXIT_USAGE, "usage: count_reader [--port N] [--count-packets] [--timeout SECONDS]");
        }
    }
    int listener = listen_on_loopback(port);
    wait_readable(listener, timeout);
    int connection = accept(listener, NULL, NULL);
    if (connection < 0)
        fail(71, "accept: %s", strerror(errno));
    close(listener);

    static uint8_t buffer[BUFFER];
    static struct counter counter;
    uint64_t bytes = 0;
    wait_readable(connection, timeout);
    double start = wall_seconds();
    for (;;) {
        ssize_t got = recv(connection, buffer, sizeof buffer, MSG_DONTWAIT);
        if (got == 0)
            break;
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
            wait_readable(connection, timeout);
            continue;
        }
        if (got < 0)
            fail(74, "after %llu bytes: %s", (unsigned long long)bytes, strerror(errno));
        bytes += (uint64_t)got;
        if (count_packets)
            count_blocks(&counter, buffer, (size_t)got);
    }
    double seconds = wall_seconds() - start;
    report_count("bytes", bytes, "bytes");
    report("seconds", seconds, "s");
    if (count_packets) {
        report_count("packets", counter.packets, "packets");
        if (counter.to_skip > 0 || counter.header_bytes > 0)
            fail(65, "the stream ends inside a block");
    }
    return 0;
}
