// The reference encoder: the bytes that Spillway's worker writes (docs/format.md), as C writes them.
//
// Enhanced Packet Blocks in batches of at most `batch_size` with a trailer of 96 bytes and, if wanted, CRC32C over both;
// batches never cross a segment; the end of each batch goes into the segment's directory. The segments are overwritten
// round and round.

#ifndef SPILLWAY_BENCH_ENCODER_H
#define SPILLWAY_BENCH_ENCODER_H

#include "bench.h"
#include "crc32c.h"

#include <stdbool.h>
#include <sys/mman.h>

enum { BLOCK_OVERHEAD = 32, TRAILER = 96, ENHANCED_PACKET = 6 };
static const uint32_t batch_trailer = 0x80535054;

// Set by whoever takes the batches before it sleeps; nobody does here.
static bool receiver_asleep;

struct encoder {
    uint8_t *cursor, *limit, *batch_start;
    uint32_t packets;
    uint64_t least_time, greatest_time, first_arrival, last_arrival;

    uint8_t *segments;
    size_t segment_size, segment_count, segment, batch_size;
    uint32_t ordinal;
    bool with_crc;
    uint64_t number, batches, bytes;
    uint64_t run[2];
};

static inline void put16(uint8_t *target, uint16_t value) { memcpy(target, &value, sizeof value); }
static inline void put32(uint8_t *target, uint32_t value) { memcpy(target, &value, sizeof value); }
static inline void put64(uint8_t *target, uint64_t value) { memcpy(target, &value, sizeof value); }

/// The directory grows down from the end of the segment: a count, then the end of each batch.
static uint32_t *directory(struct encoder *e) {
    return (uint32_t *)(e->segments + (e->segment + 1) * e->segment_size);
}

/// Sets the limits of the batch that begins at the cursor; false if `needed` does not fit the segment any more.
static bool open_batch(struct encoder *e, size_t needed) {
    e->batch_start = e->cursor;
    size_t room = (size_t)((uint8_t *)(directory(e) - 2 - e->ordinal) - e->cursor);
    if (room < TRAILER + needed) {
        e->limit = e->cursor;
        return false;
    }
    size_t most = e->batch_size > needed + TRAILER ? e->batch_size : needed + TRAILER;
    e->limit = e->cursor + (room < most ? room : most) - TRAILER;
    return true;
}

static void write_trailer(struct encoder *e) {
    uint8_t *t = e->cursor;
    uint32_t record_bytes = (uint32_t)(e->cursor - e->batch_start);
    put32(t, batch_trailer);
    put32(t + 4, TRAILER);
    put16(t + 8, 1);
    put16(t + 10, 0);
    put16(t + 12, 0);
    put16(t + 14, 0);
    put64(t + 16, e->run[0]);
    put64(t + 24, e->run[1]);
    put64(t + 32, e->number);
    put32(t + 40, e->packets);
    put32(t + 44, e->packets);
    put32(t + 48, record_bytes);
    put32(t + 52, 0);
    put64(t + 56, e->least_time);
    put64(t + 64, e->greatest_time);
    put64(t + 72, e->first_arrival);
    put64(t + 80, e->last_arrival);
    put32(t + 88, e->with_crc ? spillway_crc32c(0, e->batch_start, record_bytes + 88) : 0);
    put32(t + 92, TRAILER);
}

static void close_batch(struct encoder *e) {
    if (e->packets == 0)
        return;
    write_trailer(e);
    e->cursor += TRAILER;
    e->bytes += (uint64_t)(e->cursor - e->batch_start);
    e->number++;
    e->batches++;
    e->ordinal++;
    directory(e)[-1 - (int)e->ordinal] = (uint32_t)(e->cursor - (e->segments + e->segment * e->segment_size));
    // The hand-over to a thread that may be asleep: publish, fence, look whether it sleeps.
    __atomic_store_n(directory(e) - 1, e->ordinal, __ATOMIC_RELEASE);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (__atomic_load_n(&receiver_asleep, __ATOMIC_RELAXED))
        abort();
    e->packets = 0;
    e->least_time = UINT64_MAX;
    e->greatest_time = 0;
}

__attribute__((noinline)) static void make_room(struct encoder *e, size_t needed) {
    close_batch(e);
    if (open_batch(e, needed))
        return;
    e->segment = e->segment + 1 == e->segment_count ? 0 : e->segment + 1;
    e->ordinal = 0;
    e->cursor = e->segments + e->segment * e->segment_size;
    open_batch(e, needed);
}

static inline void append(struct encoder *e, uint64_t time, uint64_t arrival, const uint8_t *bytes, uint32_t length) {
    uint32_t padded = (length + 3) & ~3u, total = padded + BLOCK_OVERHEAD;
    if ((size_t)(e->limit - e->cursor) < total)
        make_room(e, total);
    // Neighbouring fields go in one store. The last word and the trailing length come before the data, so that the
    // padding is zero wherever the packet ends, and before the original length, which is that word of an empty packet.
    uint8_t *block = e->cursor;
    uint64_t total_high = (uint64_t)total << 32;
    put64(block, ENHANCED_PACKET | total_high);
    put64(block + 8, time & 0xffffffff00000000);
    put64(block + 16, (uint32_t)time | (uint64_t)length << 32);
    put64(block + total - 8, total_high);
    put32(block + 24, length);
    memcpy(block + 28, bytes, length);
    e->cursor = block + total;

    if (e->packets++ == 0)
        e->first_arrival = arrival;
    e->last_arrival = arrival;
    if (time < e->least_time)
        e->least_time = time;
    if (time > e->greatest_time)
        e->greatest_time = time;
}

/// Memory aligned to 2 MiB, on huge pages where the kernel gives them, touched.
static uint8_t *take_memory(size_t size, bool *on_reserved_pages) {
    const size_t huge = 2 << 20;
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
    bool reserved = memory != MAP_FAILED;
    if (!reserved) {
        memory = mmap(NULL, size + huge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED)
            fail(71, "no memory for %zu bytes", size);
        memory = (void *)(((uintptr_t)memory + huge - 1) & ~(huge - 1));
        madvise(memory, size, MADV_HUGEPAGE);
    }
    memset(memory, 0, size);
    *on_reserved_pages = reserved;
    return memory;
}

#endif
