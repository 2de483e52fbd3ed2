// BLAKE3: single blocks, the tree, and the choice of a width.

#include "blake3_internal.h"

#include <string.h>

static int lanes_limit = 16;

void spillway_hash_limit_lanes(int lanes) { lanes_limit = lanes; }

int spillway_hash_lanes(void) {
#if defined(__x86_64__)
    if (lanes_limit >= 16 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl")) return 16;
    if (lanes_limit >= 8 && __builtin_cpu_supports("avx2")) return 8;
#endif
    return lanes_limit >= 4 ? 4 : 1;
}

static uint32_t rotate(uint32_t word, int bits) { return word >> bits | word << (32 - bits); }

static void mix(uint32_t v[16], int a, int b, int c, int d, uint32_t x, uint32_t y) {
    v[a] += v[b] + x;
    v[d] = rotate(v[d] ^ v[a], 16);
    v[c] += v[d];
    v[b] = rotate(v[b] ^ v[c], 12);
    v[a] += v[b] + y;
    v[d] = rotate(v[d] ^ v[a], 8);
    v[c] += v[d];
    v[b] = rotate(v[b] ^ v[c], 7);
}

// The compression function; the chaining value is replaced by the next.
static void compress(uint32_t chain[WORDS], const uint8_t block[BLOCK_BYTES], uint32_t length, uint64_t counter, uint32_t flags) {
    static const uint32_t start[WORDS] = BLAKE3_START;
    static const uint8_t schedule[ROUNDS][16] = BLAKE3_SCHEDULE;
    uint32_t m[16], v[16];
    // Words are little endian, as are the machines this is built for.
    memcpy(m, block, BLOCK_BYTES);
    memcpy(v, chain, 32);
    memcpy(v + 8, start, 16);
    v[12] = (uint32_t)counter;
    v[13] = (uint32_t)(counter >> 32);
    v[14] = length;
    v[15] = flags;
    for (int round = 0; round < ROUNDS; round++) {
        const uint8_t *s = schedule[round];
        for (int column = 0; column < 4; column++)
            mix(v, column, column + 4, column + 8, column + 12, m[s[2 * column]], m[s[2 * column + 1]]);
        for (int corner = 0; corner < 4; corner++)
            mix(v, corner, 4 + (corner + 1) % 4, 8 + (corner + 2) % 4, 12 + (corner + 3) % 4, m[s[8 + 2 * corner]],
                m[s[9 + 2 * corner]]);
    }
    for (int word = 0; word < WORDS; word++) chain[word] = v[word] ^ v[word + 8];
}

// One input. The value may be written over it.
static void hash_one(const struct lanes_job *job, uint32_t *result) {
    uint32_t value[WORDS] = BLAKE3_START;
    for (size_t block = 0; block < job->blocks; block++) {
        uint32_t flags = job->flags | (block == 0 ? job->first_flags : 0);
        if (block + 1 == job->blocks) flags |= job->last_flags;
        compress(value, job->input + block * BLOCK_BYTES, BLOCK_BYTES, job->counter, flags);
    }
    memcpy(result, value, sizeof value);
}

// All inputs of a job, as many at once as the machine can; the rest by fewer.
static void hash_all(struct lanes_job job, size_t count, uint32_t *values) {
    const size_t widest = (size_t)spillway_hash_lanes();
    while (count > 0) {
        size_t width = widest;
        while (width > count) width = width > 4 ? width / 2 : 1;
        switch (width) {
#if defined(__x86_64__)
        case 16: spillway_blake3_16(&job, values); break;
        case 8: spillway_blake3_8(&job, values); break;
#endif
        case 4: spillway_blake3_4(&job, values); break;
        default: hash_one(&job, values); break;
        }
        job.input += width * job.stride;
        job.counter += width * job.increment;
        values += width * WORDS;
        count -= width;
    }
}

void spillway_hash_chunks(const void *input, size_t chunks, uint64_t counter, uint32_t *values) {
    struct lanes_job job = {input, CHUNK_BYTES, CHUNK_BLOCKS, counter, 1, 0, FLAG_CHUNK_START, FLAG_CHUNK_END};
    hash_all(job, chunks, values);
}

void spillway_hash_last_chunk(const void *input, size_t length, uint64_t counter, int is_root, uint32_t *value) {
    static const uint32_t start[WORDS] = BLAKE3_START;
    const uint8_t *bytes = input;
    memcpy(value, start, sizeof start);
    size_t done = 0;
    do {
        uint8_t block[BLOCK_BYTES] = {0};
        size_t here = length - done < BLOCK_BYTES ? length - done : BLOCK_BYTES;
        if (here > 0) memcpy(block, bytes + done, here);
        uint32_t flags = done == 0 ? FLAG_CHUNK_START : 0;
        if (done + here == length) flags |= FLAG_CHUNK_END | (is_root ? FLAG_ROOT : 0);
        compress(value, block, (uint32_t)here, counter, flags);
        done += here;
    } while (done < length);
}

// Level by level, neighbours become parents; one that is left over goes up as it is. That is the tree of section 2.1, whose
// left subtrees are as large as powers of two allow.
void spillway_hash_combine(uint32_t *values, size_t count, int is_root, uint32_t *result) {
    while (count > 2) {
        size_t pairs = count / 2;
        struct lanes_job job = {(const uint8_t *)values, BLOCK_BYTES, 1, 0, 0, FLAG_PARENT, 0, 0};
        // Parents are written over children that have been read: sixteen parents take the place of the first of 32 children.
        hash_all(job, pairs, values);
        if (count & 1) memmove(values + pairs * WORDS, values + (count - 1) * WORDS, 32);
        count = pairs + (count & 1);
    }
    if (count == 2) {
        struct lanes_job job = {(const uint8_t *)values, BLOCK_BYTES, 1, 0, 0, FLAG_PARENT | (is_root ? FLAG_ROOT : 0), 0, 0};
        hash_one(&job, values);
    }
    memcpy(result, values, 32);
}
