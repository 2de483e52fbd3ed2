// Writes a classic pcap file of UDP packets over IPv4 and Ethernet that can be told apart: the first eight bytes of
// the payload are the packet's number, big endian.
//
// --size is the length of the frame without its check sequence. Packets are a microsecond apart. The IPv4 checksum is
// right; the UDP checksum is zero, which says "none" (RFC 768). With --flows N the source port goes round N ports.

#include "bench.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>

enum { ETHERNET = 14, IP = 20, UDP = 8, SEQUENCE = 8, HEADERS = ETHERNET + IP + UDP };
enum { FRAME_MIN = HEADERS + SEQUENCE, FRAME_MAX = ETHERNET + 65535, FIRST_SECOND = 1700000000, FIRST_PORT = 20000 };

static void put16(uint8_t *target, uint16_t value) {
    target[0] = (uint8_t)(value >> 8);
    target[1] = (uint8_t)value;
}

/// The ones' complement of the ones' complement sum (RFC 791, RFC 1071).
static uint16_t ip_checksum(const uint8_t *header) {
    uint32_t sum = 0;
    for (int i = 0; i < IP; i += 2)
        sum += (uint32_t)header[i] << 8 | header[i + 1];
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

/// What all packets have in common.
static void prepare(uint8_t *frame, uint32_t size) {
    // Locally administered addresses, documentation networks (RFC 5737), and the discard port.
    static const uint8_t ethernet[ETHERNET] = {2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x08, 0x00};
    static const uint8_t addresses[8] = {192, 0, 2, 1, 198, 51, 100, 2};
    memset(frame, 0, size);
    memcpy(frame, ethernet, sizeof ethernet);
    uint8_t *ip = frame + ETHERNET, *udp = ip + IP;
    ip[0] = 0x45;
    put16(ip + 2, (uint16_t)(size - ETHERNET));
    ip[8] = 64;
    ip[9] = 17;
    memcpy(ip + 12, addresses, sizeof addresses);
    put16(udp + 2, 9);
    put16(udp + 4, (uint16_t)(size - ETHERNET - IP));
    for (uint32_t i = HEADERS + SEQUENCE; i < size; i++)
        frame[i] = (uint8_t)i;
}

static void number_packet(uint8_t *frame, uint64_t sequence, uint64_t flows) {
    uint8_t *ip = frame + ETHERNET;
    put16(ip + 4, (uint16_t)sequence);
    put16(ip + 10, 0);
    put16(ip + 10, ip_checksum(ip));
    put16(ip + IP, (uint16_t)(FIRST_PORT + sequence % flows));
    for (int i = 0; i < SEQUENCE; i++)
        frame[HEADERS + i] = (uint8_t)(sequence >> (56 - 8 * i));
}

static void write_all(FILE *file, const void *data, size_t length) {
    if (fwrite(data, 1, length, file) != length)
        fail(74, "cannot write: %s", strerror(errno));
}

int main(int count, char **arguments) {
    uint64_t packets = 1000, size = 128, flows = 1;
    const char *output = NULL;
    const struct option options[] = {{"packets", 1, NULL, 'n'}, {"size", 1, NULL, 's'}, {"flows", 1, NULL, 'f'},
                                     {"output", 1, NULL, 'o'}, {0}};
    for (int option; (option = getopt_long(count, arguments, "", options, NULL)) != -1;) {
        switch (option) {
        case 'n': packets = number("packets", optarg, 0, UINT64_MAX); break;
        case 's': size = number("size", optarg, FRAME_MIN, FRAME_MAX); break;
        case 'f': flows = number("flows", optarg, 1, 65536 - FIRST_PORT); break;
        case 'o': output = optarg; break;
        default: output = NULL; optind = count;
        }
    }
    if (!output)
        fail(EXIT_USAGE, "usage: make_pcap --output FILE [--packets N] [--size BYTES] [--flows N]   (- is stdout)");
    bool to_stdout = strcmp(output, "-") == 0;
    FILE *file = to_stdout ? stdout : fopen(output, "wb");
    if (!file)
        fail(73, "cannot create %s: %s", output, strerror(errno));
    static char buffer[1 << 20];
    setvbuf(file, buffer, _IOFBF, sizeof buffer);

    // Native byte order, version 2.4, microseconds, link type 1 (Ethernet).
    uint32_t header[6] = {0xa1b2c3d4, 0, 0, 0, 262144, 1};
    uint16_t version[2] = {2, 4};
    memcpy(&header[1], version, sizeof version);
    write_all(file, header, sizeof header);

    uint8_t *frame = malloc(size);
    prepare(frame, (uint32_t)size);
    for (uint64_t sequence = 0; sequence < packets; sequence++) {
        number_packet(frame, sequence, flows);
        uint32_t record[4] = {FIRST_SECOND + (uint32_t)(sequence / 1000000), (uint32_t)(sequence % 1000000),
                              (uint32_t)size, (uint32_t)size};
        write_all(file, record, sizeof record);
        write_all(file, frame, size);
    }
    if (fflush(file) != 0 || (!to_stdout && fclose(file) != 0))
        fail(74, "cannot write %s: %s", output, strerror(errno));
    free(frame);
    return 0;
}
