// CRC32C on x86: what the two folding methods share.
//
// Folding. A register of 128 bits, loaded little endian, is a polynomial M of degree below 128 whose bit i is
// the coefficient of x^(127-i): its low half L has the high powers, M = L x^64 + H. "M followed by d bits" is
// M x^d = L x^(d+64) + H x^d. Modulo P both powers may be replaced by their remainders, which makes it another
// polynomial of degree below 128 that is worth the same, d bits later; adding the data found there folds it in.
// The carry-less product of two reflected 64-bit words, read as a reflected 128-bit word, is the true product
// times x, because 127 coefficients stand in 128 bits; so the constants are one power short, x^(d+63) for the
// low half and x^(d-1) for the high half. The last 128 bits go through the CRC32 instruction, which multiplies
// by x^32 and reduces.
//
// Rounds. Carry-less multiplication and the CRC32 instruction use different units, so both work at once. A round
// of n steps covers neighbouring stretches of data: first the streams, each with the CRC32 instruction, then the
// words that are folded. In the end every stream's state is moved to the end of the round by one multiplication.

#ifndef SPILLWAY_CRC32C_FOLD_H
#define SPILLWAY_CRC32C_FOLD_H

#include "crc32c_internal.h"

#include <immintrin.h>

/// The two constants that move 128 bits by a distance, for the low and the high half. A remainder has 32 bits
/// and fills the upper half of its reflected 64-bit word.
struct fold_constants {
    uint64_t low, high;
};

/// A distance of zero gives zeros: the word vanishes, so that it can be added where it stands.
static inline struct fold_constants fold_by(uint64_t bits) {
    if (bits == 0)
        return (struct fold_constants){0, 0};
    return (struct fold_constants){(uint64_t)spillway_crc32c_power(bits + 63) << 32,
                                   (uint64_t)spillway_crc32c_power(bits - 1) << 32};
}

/// Fills `factors[steps * count + stream]`, for every number of steps, with what moves that stream's state over
/// the bytes between it and the end of the round. In one step a stream advances by `stream_step` bytes, the
/// folded words by `fold_step`.
///
/// The carry-less product of two reflected 32-bit words, read as a reflected 64-bit word, is the true product
/// times x, and the CRC32 instruction that reduces it multiplies by x^32: the factors are 33 powers short.
static inline void prepare_factors(uint32_t *factors, int steps_max, int count, int stream_step, int fold_step) {
    for (int stream = 0; stream < count; stream++) {
        uint64_t bits = 8 * ((uint64_t)fold_step + (uint64_t)stream_step * (uint64_t)(count - 1 - stream));
        uint32_t one_step = spillway_crc32c_power(bits), factor = spillway_crc32c_power(bits - 33);
        for (int steps = 1; steps <= steps_max; steps++) {
            factors[steps * count + stream] = factor;
            factor = spillway_crc32c_multiply(factor, one_step);
        }
    }
}

/// One step of `count` streams that lie `distance` bytes apart: `words` words of eight bytes of each.
__attribute__((target("sse4.2"), always_inline)) static inline void step_streams(
    uint64_t *states, int count, int words, const uint8_t *data, size_t distance) {
#pragma clang loop unroll(full)
    for (int word = 0; word < words; word++)
#pragma clang loop unroll(full)
        for (int i = 0; i < count; i++)
            states[i] = _mm_crc32_u64(states[i], crc32c_load64(data + (size_t)i * distance + 8 * (size_t)word));
}

/// The state at the end of a round: what was folded, and the streams' states times their factors.
///
/// All take the same last step through the instruction, so they are added before it.
__attribute__((target("sse4.2,pclmul"), always_inline)) static inline uint32_t finish_round(
    __m128i folded, const uint64_t *states, const uint32_t *factors, int count) {
    __m128i sum = _mm_unpackhi_epi64(folded, folded);
#pragma clang loop unroll(full)
    for (int i = 0; i < count; i++)
        sum = _mm_xor_si128(sum, _mm_clmulepi64_si128(_mm_cvtsi64_si128((long long)states[i]),
                                                      _mm_cvtsi32_si128((int)factors[i]), 0x00));
    uint64_t state = _mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(folded));
    return (uint32_t)_mm_crc32_u64(state, (uint64_t)_mm_cvtsi128_si64(sum));
}

#endif
