// What the widths of BLAKE3 share: constants of the specification (section 2.2) and how a width is called.
#ifndef SPILLWAY_BLAKE3_INTERNAL_H
#define SPILLWAY_BLAKE3_INTERNAL_H

#include "chashing.h"

enum { BLOCK_BYTES = 64, CHUNK_BYTES = 1024, CHUNK_BLOCKS = 16, WORDS = 8, ROUNDS = 7 };
enum { FLAG_CHUNK_START = 1, FLAG_CHUNK_END = 2, FLAG_PARENT = 4, FLAG_ROOT = 8 };

// The first eight words of the fractional parts of square roots of primes, as in SHA-256.
#define BLAKE3_START                                                                                                   \
    { 0x6A09E667u, 0xBB67AE85u, 0x3C6EF372u, 0xA54FF53Au, 0x510E527Fu, 0x9B05688Cu, 0x1F83D9ABu, 0x5BE0CD19u }

// Which message word stands where in each round: the permutation of table 2, applied once more each time.
#define BLAKE3_SCHEDULE                                                                                                \
    {                                                                                                                  \
        {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8}, \
            {3, 4, 10, 12, 13, 2, 7, 14, 6, 5, 9, 0, 11, 15, 8, 1}, {10, 7, 12, 9, 14, 3, 13, 15, 4, 0, 11, 2, 5, 8, 1, 6}, \
            {12, 13, 9, 11, 15, 10, 14, 8, 7, 2, 5, 3, 0, 1, 6, 4}, {9, 14, 11, 5, 8, 12, 15, 1, 13, 3, 0, 10, 2, 6, 4, 7}, \
            {11, 15, 5, 0, 1, 9, 8, 6, 14, 10, 2, 12, 3, 4, 7, 13},                                                    \
    }

/// What is hashed at once: inputs of the same number of blocks, `stride` bytes apart, one per lane.
struct lanes_job {
    const uint8_t *input;
    size_t stride, blocks;
    uint64_t counter;
    /// By how much the counter goes up from lane to lane: 1 for chunks, 0 for parents.
    uint64_t increment;
    /// Flags of all blocks, and further ones of the first and the last.
    uint32_t flags, first_flags, last_flags;
};

/// Hash as many inputs as the name says; eight words for each.
void spillway_blake3_4(const struct lanes_job *job, uint32_t *values);
void spillway_blake3_8(const struct lanes_job *job, uint32_t *values);
void spillway_blake3_16(const struct lanes_job *job, uint32_t *values);

#endif
