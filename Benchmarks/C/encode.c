// The reference for encoding: packets out of a receive area into batches of pcapng in a ring of segments.
//
// It writes the bytes that Spillway's worker writes (docs/format.md): Enhanced Packet Blocks, a batch of at most
// --batch-size with a trailer of 96 bytes and, with --crc on, CRC32C over both; batches never cross a segment; the
// end of each batch goes into the segment's directory. The segments together are larger than any cache and are
// overwritten round and round, the packets come out of frames that are used round and round.

#include "encoder.h"

#include <getopt.h>

enum { BURST = 32 };

/// What a capture thread hands to a worker: 16 bytes.
struct descriptor {
    uint64_t time;
    uint32_t offset, length;
};

__attribute__((noinline)) static void encode(struct encoder *e, const struct descriptor *descriptors, size_t count,
                                             const uint8_t *frames, uint64_t packets) {
    uint64_t arrival = 0;
    size_t next = 0;
    for (uint64_t packet = 0; packet < packets; packet++) {
        const struct descriptor *d = &descriptors[next];
        // The clock is read once per burst; here its place is taken by the packet's time.
        if (packet % BURST == 0)
            arrival = d->time;
        append(e, d->time, arrival, frames + d->offset, d->length);
        next = next + 1 == count ? 0 : next + 1;
    }
    close_batch(e);
    open_batch(e, BLOCK_OVERHEAD);
}

/// Writes a section header, one Ethernet interface in nanoseconds, and what stands in the first segment, so that other
/// programs can check what is measured here.
static void write_capture(const char *path, const struct encoder *e) {
    static const uint32_t section_header[7] = {0x0a0d0d0a, 28, 0x1a2b3c4d, 1, ~0u, ~0u, 28};
    // Option 9 is if_tsresol, one byte, padded; 0 ends the options.
    static const uint32_t interface[8] = {1, 32, 1, 262144, 9 | 1 << 16, 9, 0, 32};
    if (e->segment != 0)
        fail(EXIT_USAGE, "--output: the packets do not fit into one segment");
    size_t length = (size_t)(e->cursor - e->segments);
    FILE *file = fopen(path, "wb");
    if (!file)
        fail(73, "cannot create %s", path);
    fwrite(section_header, 1, sizeof section_header, file);
    fwrite(interface, 1, sizeof interface, file);
    fwrite(e->segments, 1, length, file);
    if (fclose(file) != 0)
        fail(74, "cannot write %s", path);
}

static bool on_or_off(const char *text) {
    if (strcmp(text, "on") != 0 && strcmp(text, "off") != 0)
        fail(EXIT_USAGE, "--crc: %s is neither on nor off", text);
    return text[1] == 'n';
}

int main(int count, char **arguments) {
    uint64_t size = 64, packets = 0, segments = 64, segment_size = 2 << 20, batch_size = 64 << 10, frames = 1024;
    int cpu = -1;
    const char *output = NULL;
    bool with_crc = true;
    const struct option options[] = {
        {"size", 1, NULL, 's'}, {"crc", 1, NULL, 'r'}, {"packets", 1, NULL, 'p'}, {"segments", 1, NULL, 'g'},
        {"segment-size", 1, NULL, 'z'}, {"batch-size", 1, NULL, 'b'}, {"frames", 1, NULL, 'f'}, {"cpu", 1, NULL, 'c'},
        {"output", 1, NULL, 'o'}, {0}};
    for (int option; (option = getopt_long(count, arguments, "", options, NULL)) != -1;) {
        switch (option) {
        case 's': size = number("size", optarg, 1, 2048); break;
        case 'r': with_crc = on_or_off(optarg); break;
        case 'p': packets = number("packets", optarg, 1, UINT64_MAX); break;
        case 'g': segments = number("segments", optarg, 1, 1 << 16); break;
        case 'z': segment_size = number("segment-size", optarg, 1 << 16, 1 << 30) & ~(uint64_t)4095; break;
        case 'b': batch_size = number("batch-size", optarg, 4096, segment_size); break;
        case 'f': frames = number("frames", optarg, 1, 1 << 20); break;
        case 'o': output = optarg; break;
        case 'c': cpu = (int)number("cpu", optarg, 0, CPU_SETSIZE - 1); break;
        default:
            fail(EXIT_USAGE, "usage: encode [--size BYTES] [--crc on|off] [--packets N] [--segments N]"
                             " [--segment-size BYTES] [--batch-size BYTES] [--frames N] [--cpu N]\n"
                             "       encode --output FILE --packets N   writes them as a capture, without measuring");
        }
    }
    if (cpu >= 0)
        pin(cpu);
    // By default as many packets as overwrite all segments about twelve times.
    if (packets == 0)
        packets = 12 * segments * segment_size / (size + BLOCK_OVERHEAD);

    bool reserved;
    uint8_t *area = take_memory(frames * 2048, &reserved);
    struct descriptor *descriptors = calloc(frames, sizeof *descriptors);
    for (uint64_t i = 0; i < frames; i++) {
        memset(area + i * 2048, (int)i, size);
        descriptors[i] = (struct descriptor){1700000000000000000 + i * 1000, (uint32_t)(i * 2048), (uint32_t)size};
    }
    struct encoder e = {.segments = take_memory(segments * segment_size, &reserved), .segment_size = segment_size,
                        .segment_count = segments, .batch_size = batch_size, .with_crc = with_crc,
                        .least_time = UINT64_MAX, .run = {1, 2}};
    e.cursor = e.segments;
    open_batch(&e, BLOCK_OVERHEAD);

    if (output) {
        encode(&e, descriptors, frames, area, packets);
        write_capture(output, &e);
        return 0;
    }

    // One turn through the segments warms up what can be warm.
    encode(&e, descriptors, frames, area, segments * segment_size / (size + BLOCK_OVERHEAD));
    e.batches = e.bytes = 0;
    double wall = wall_seconds(), thread = thread_seconds();
    encode(&e, descriptors, frames, area, packets);
    wall = wall_seconds() - wall;
    thread = thread_seconds() - thread;

    report_count("reserved_hugepages", reserved, "yes(1)/no(0)");
    report_count("packets", packets, "packets");
    report_count("batches", e.batches, "batches");
    report_count("bytes", e.bytes, "bytes");
    report("ns_per_packet", wall * 1e9 / (double)packets, "ns");
    report("cpu_ns_per_packet", thread * 1e9 / (double)packets, "ns");
    return 0;
}
