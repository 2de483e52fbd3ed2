// One width of BLAKE3: LANES inputs at once, word by word in vectors of LANES words. Included with LANES, LANES_NAME,
// LANES_TARGET (the instructions it may use) and LANES_LIST(X), which lists X(0) to X(LANES - 1).

#include "blake3_internal.h"

typedef uint32_t vector __attribute__((vector_size(4 * LANES)));
typedef uint32_t loose_vector __attribute__((vector_size(4 * LANES), aligned(1)));

#define INLINE LANES_TARGET __attribute__((always_inline)) static inline

INLINE vector same(uint32_t word) { return word - (vector){0}; }

INLINE vector rotate(vector word, int bits) { return word >> bits | word << (32 - bits); }

// The quarter round (section 2.2 of the specification).
INLINE void mix(vector *a, vector *b, vector *c, vector *d, vector x, vector y) {
    *a += *b + x;
    *d = rotate(*d ^ *a, 16);
    *c += *d;
    *b = rotate(*b ^ *c, 12);
    *a += *b + y;
    *d = rotate(*d ^ *a, 8);
    *c += *d;
    *b = rotate(*b ^ *c, 7);
}

// One step of a transposition: of two rows, squares of `side` words change places across the diagonal.
#define LOW(side) __builtin_shufflevector(one, other, LANES_LIST(LOW_##side))
#define HIGH(side) __builtin_shufflevector(one, other, LANES_LIST(HIGH_##side))
#define PLACE_LOW(lane, side) (((lane) & (side)) ? LANES + (lane) - (side) : (lane))
#define PLACE_HIGH(lane, side) (((lane) & (side)) ? LANES + (lane) : (lane) + (side))
#define LOW_1(lane) PLACE_LOW(lane, 1)
#define LOW_2(lane) PLACE_LOW(lane, 2)
#define LOW_4(lane) PLACE_LOW(lane, 4)
#define LOW_8(lane) PLACE_LOW(lane, 8)
#define HIGH_1(lane) PLACE_HIGH(lane, 1)
#define HIGH_2(lane) PLACE_HIGH(lane, 2)
#define HIGH_4(lane) PLACE_HIGH(lane, 4)
#define HIGH_8(lane) PLACE_HIGH(lane, 8)
#define STEP(side)                                                                                                     \
    for (int row = 0; row < LANES; row++) {                                                                            \
        if (row & (side)) continue;                                                                                    \
        vector one = rows[row], other = rows[row + (side)];                                                            \
        rows[row] = LOW(side);                                                                                         \
        rows[row + (side)] = HIGH(side);                                                                               \
    }

// Rows of the inputs become vectors of words.
INLINE void transpose(vector rows[LANES]) {
#pragma clang loop unroll(full)
    STEP(1)
#pragma clang loop unroll(full)
    STEP(2)
#if LANES > 4
#pragma clang loop unroll(full)
    STEP(4)
#endif
#if LANES > 8
#pragma clang loop unroll(full)
    STEP(8)
#endif
}

LANES_TARGET void LANES_NAME(const struct lanes_job *job, uint32_t *values) {
    static const uint32_t start[WORDS] = BLAKE3_START;
    static const uint8_t schedule[ROUNDS][16] = BLAKE3_SCHEDULE;
    vector chain[WORDS];
    for (int word = 0; word < WORDS; word++) chain[word] = same(start[word]);
    vector low, high;
    for (int lane = 0; lane < LANES; lane++) {
        uint64_t counter = job->counter + (uint64_t)lane * job->increment;
        low[lane] = (uint32_t)counter;
        high[lane] = (uint32_t)(counter >> 32);
    }
    for (size_t block = 0; block < job->blocks; block++) {
        uint32_t flags = job->flags | (block == 0 ? job->first_flags : 0);
        if (block + 1 == job->blocks) flags |= job->last_flags;
        vector message[16];
#pragma clang loop unroll(full)
        for (int part = 0; part < 16 / LANES; part++) {
#pragma clang loop unroll(full)
            for (int lane = 0; lane < LANES; lane++) {
                const uint8_t *place = job->input + lane * job->stride + block * BLOCK_BYTES;
                message[part * LANES + lane] = *(const loose_vector *)(place + part * 4 * LANES);
            }
            transpose(message + part * LANES);
        }
        vector v[16];
        for (int word = 0; word < WORDS; word++) v[word] = chain[word];
        for (int word = 0; word < 4; word++) v[8 + word] = same(start[word]);
        v[12] = low;
        v[13] = high;
        v[14] = same(BLOCK_BYTES);
        v[15] = same(flags);
#pragma clang loop unroll(full)
        for (int round = 0; round < ROUNDS; round++) {
            const uint8_t *s = schedule[round];
            mix(&v[0], &v[4], &v[8], &v[12], message[s[0]], message[s[1]]);
            mix(&v[1], &v[5], &v[9], &v[13], message[s[2]], message[s[3]]);
            mix(&v[2], &v[6], &v[10], &v[14], message[s[4]], message[s[5]]);
            mix(&v[3], &v[7], &v[11], &v[15], message[s[6]], message[s[7]]);
            mix(&v[0], &v[5], &v[10], &v[15], message[s[8]], message[s[9]]);
            mix(&v[1], &v[6], &v[11], &v[12], message[s[10]], message[s[11]]);
            mix(&v[2], &v[7], &v[8], &v[13], message[s[12]], message[s[13]]);
            mix(&v[3], &v[4], &v[9], &v[14], message[s[14]], message[s[15]]);
        }
        for (int word = 0; word < WORDS; word++) chain[word] = v[word] ^ v[word + 8];
    }
    for (int lane = 0; lane < LANES; lane++)
        for (int word = 0; word < WORDS; word++) values[lane * WORDS + word] = chain[word][lane];
}
