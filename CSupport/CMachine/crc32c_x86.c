// CRC32C on x86 without AVX-512: the CRC32 instruction of SSE4.2 by itself, and beside PCLMULQDQ.

#if defined(__x86_64__)

#include "crc32c_fold.h"

#define CRC32C_TARGET __attribute__((target("sse4.2")))
#define CRC32C_STEP64(state, word) ((uint32_t)_mm_crc32_u64(state, word))
#define CRC32C_STEP32(state, word) _mm_crc32_u32(state, word)
#define CRC32C_STEP16(state, word) _mm_crc32_u16(state, word)
#define CRC32C_STEP8(state, word) _mm_crc32_u8(state, word)
#include "crc32c_streams.h"

// AVX is for its three-operand forms, which spare the copies; every processor since 2011 that has one has both.
#define TARGET __attribute__((target("avx,sse4.2,pclmul")))

// Three streams of three words keep the CRC32 instruction busy for nine cycles; folding four registers of 16
// bytes takes eight multiplications, which last eight cycles on most processors.
enum { STREAMS = 3, STREAM_WORDS = 3, STREAM_STEP = 8 * STREAM_WORDS, FOLD_STEP = 4 * 16 };
enum { STEP = STREAMS * STREAM_STEP + FOLD_STEP, STEPS_MAX = 256 };

static uint32_t factors[STEPS_MAX + 1][STREAMS];
static _Alignas(16) struct fold_constants by_16_bytes, by_32_bytes, by_64_bytes;

void spillway_crc32c_prepare_fold_128(void) {
    by_16_bytes = fold_by(8 * 16);
    by_32_bytes = fold_by(8 * 32);
    by_64_bytes = fold_by(8 * 64);
    prepare_factors(&factors[0][0], STEPS_MAX, STREAMS, STREAM_STEP, FOLD_STEP);
}

TARGET static inline __m128i load(const void *data) {
    return _mm_loadu_si128(data);
}

TARGET static inline __m128i fold(__m128i word, __m128i constants, __m128i data) {
    __m128i low = _mm_clmulepi64_si128(word, constants, 0x00);
    __m128i high = _mm_clmulepi64_si128(word, constants, 0x11);
    return _mm_xor_si128(_mm_xor_si128(low, high), data);
}

/// One round of `steps` * STEP bytes.
TARGET static inline uint32_t round_128(uint32_t state, const uint8_t *data, size_t steps) {
    size_t stream = steps * STREAM_STEP;
    const uint8_t *words = data + STREAMS * stream;
    uint64_t states[STREAMS] = {state};
    __m128i constants = load(&by_64_bytes);
    __m128i a = load(words), b = load(words + 16), c = load(words + 32), d = load(words + 48);
    step_streams(states, STREAMS, STREAM_WORDS, data, stream);
    for (size_t step = 1; step < steps; step++) {
        data += STREAM_STEP;
        words += FOLD_STEP;
        a = fold(a, constants, load(words));
        b = fold(b, constants, load(words + 16));
        c = fold(c, constants, load(words + 32));
        d = fold(d, constants, load(words + 48));
        step_streams(states, STREAMS, STREAM_WORDS, data, stream);
    }
    c = fold(a, load(&by_32_bytes), c);
    d = fold(b, load(&by_32_bytes), d);
    d = fold(c, load(&by_16_bytes), d);
    return finish_round(d, states, factors[steps], STREAMS);
}

TARGET uint32_t spillway_crc32c_fold_128(uint32_t state, const uint8_t *data, size_t length) {
    while (length >= STEP) {
        size_t steps = length / STEP < STEPS_MAX ? length / STEP : STEPS_MAX;
        state = round_128(state, data, steps);
        data += steps * STEP;
        length -= steps * STEP;
    }
    return crc32c_one_stream(state, data, length);
}

#endif
