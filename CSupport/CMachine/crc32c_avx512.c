// CRC32C on x86 with AVX-512: folding of 512-bit registers by VPCLMULQDQ, beside the CRC32 instruction.
//
// A register is four words of 128 bits ("lanes") that are folded by the same distance at once. On processors
// whose multiplier takes two cycles for any width (AMD Zen 5) the streams add half again to the speed; where it
// takes one (Intel since Ice Lake) they cost nothing that matters, because the data comes from the second level
// cache no faster.

#if defined(__x86_64__)

#include "crc32c_fold.h"

#define TARGET __attribute__((target("sse4.2,pclmul,avx512f,vpclmulqdq")))

// Of three registers by four streams of three words, four by three, two by four of two words and the like, this
// was the fastest at 64 KiB and at 1500 bytes.
enum { STREAMS = 4, STREAM_WORDS = 3, STREAM_STEP = 8 * STREAM_WORDS, FOLD_STEP = 3 * 64 };
enum { STEP = STREAMS * STREAM_STEP + FOLD_STEP, STEPS_MAX = 256 };

static uint32_t factors[STEPS_MAX + 1][STREAMS];

// Distances between registers, the same in all lanes, and the distance of each lane from the last.
static _Alignas(64) struct fold_constants by_64_bytes[4], by_128_bytes[4], by_192_bytes[4], to_last_lane[4];

void spillway_crc32c_prepare_fold_512(void) {
    for (uint64_t lane = 0; lane < 4; lane++) {
        by_64_bytes[lane] = fold_by(8 * 64);
        by_128_bytes[lane] = fold_by(8 * 128);
        by_192_bytes[lane] = fold_by(8 * 192);
        to_last_lane[lane] = fold_by(8 * 16 * (3 - lane));
    }
    prepare_factors(&factors[0][0], STEPS_MAX, STREAMS, STREAM_STEP, FOLD_STEP);
}

TARGET static inline __m512i load(const void *data) {
    return _mm512_loadu_si512(data);
}

TARGET static inline __m512i fold(__m512i word, __m512i constants, __m512i data) {
    __m512i low = _mm512_clmulepi64_epi128(word, constants, 0x00);
    __m512i high = _mm512_clmulepi64_epi128(word, constants, 0x11);
    return _mm512_ternarylogic_epi64(low, high, data, 0x96);  // 0x96 is the truth table of a sum of three bits.
}

/// The sum of the four lanes, each moved to the place of the last.
TARGET static inline __m128i add_lanes(__m512i word) {
    __m512i last_lane = _mm512_maskz_mov_epi64(0xc0, word);
    __m512i moved = fold(word, load(to_last_lane), last_lane);
    __m256i pairs = _mm256_xor_si256(_mm512_castsi512_si256(moved), _mm512_extracti64x4_epi64(moved, 1));
    return _mm_xor_si128(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256(pairs, 1));
}

/// One round of `steps` * STEP bytes.
TARGET static inline uint32_t round_512(uint32_t state, const uint8_t *data, size_t steps) {
    size_t stream = steps * STREAM_STEP;
    const uint8_t *words = data + STREAMS * stream;
    uint64_t states[STREAMS] = {state};
    __m512i constants = load(by_192_bytes);
    __m512i a = load(words), b = load(words + 64), c = load(words + 128);
    step_streams(states, STREAMS, STREAM_WORDS, data, stream);
    for (size_t step = 1; step < steps; step++) {
        data += STREAM_STEP;
        words += FOLD_STEP;
        a = fold(a, constants, load(words));
        b = fold(b, constants, load(words + 64));
        c = fold(c, constants, load(words + 128));
        step_streams(states, STREAMS, STREAM_WORDS, data, stream);
    }
    c = fold(a, load(by_128_bytes), fold(b, load(by_64_bytes), c));
    return finish_round(add_lanes(c), states, factors[steps], STREAMS);
}

TARGET uint32_t spillway_crc32c_fold_512(uint32_t state, const uint8_t *data, size_t length) {
    while (length >= STEP) {
        size_t steps = length / STEP < STEPS_MAX ? length / STEP : STEPS_MAX;
        state = round_512(state, data, steps);
        data += steps * STEP;
        length -= steps * STEP;
    }
    return spillway_crc32c_fold_128(state, data, length);
}

#endif
