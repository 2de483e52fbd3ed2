// CRC32C: arithmetic modulo the polynomial, the portable method, and the choice of a method at start.

#include "crc32c.h"

#include "crc32c_internal.h"

#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#ifndef HWCAP_CRC32
#define HWCAP_CRC32 (1 << 7)
#endif
#endif

// P without its leading x^32 (RFC 3720, 12.1: 0x11edc6f41), reflected.
static const uint32_t polynomial = 0x82f63b78;

// A polynomial times x is a shift towards higher powers, which is to the right, and a reduction.
static uint32_t times_x(uint32_t a) {
    return a >> 1 ^ (a & 1 ? polynomial : 0);
}

uint32_t spillway_crc32c_multiply(uint32_t a, uint32_t b) {
    uint32_t product = 0;
    for (; a != 0; a <<= 1, b = times_x(b))
        if (a >> 31)
            product ^= b;
    return product;
}

uint32_t spillway_crc32c_power(uint64_t exponent) {
    uint32_t product = UINT32_C(1) << 31, square = UINT32_C(1) << 30;
    for (; exponent != 0; exponent >>= 1, square = spillway_crc32c_multiply(square, square))
        if (exponent & 1)
            product = spillway_crc32c_multiply(product, square);
    return product;
}

// slice[k][v] is the state after the byte v and k zero bytes, starting from zero.
static uint32_t slice[8][256];

struct crc32c_shift spillway_crc32c_long_shift, spillway_crc32c_short_shift;

static void prepare_slices(void) {
    for (uint32_t value = 0; value < 256; value++) {
        uint32_t state = value;
        for (int bit = 0; bit < 8; bit++)
            state = times_x(state);
        slice[0][value] = state;
    }
    for (int zeros = 1; zeros < 8; zeros++)
        for (int value = 0; value < 256; value++) {
            uint32_t state = slice[zeros - 1][value];
            slice[zeros][value] = state >> 8 ^ slice[0][state & 255];
        }
}

static void prepare_shift(struct crc32c_shift *shift, uint64_t bytes) {
    uint32_t factor = spillway_crc32c_power(8 * bytes);
    for (int i = 0; i < 8; i++)
        for (uint32_t value = 0; value < 16; value++)
            shift->nibble[i][value] = spillway_crc32c_multiply(value << (4 * i), factor);
}

static uint32_t portable(uint32_t state, const uint8_t *data, size_t length) {
    for (; length >= 8; data += 8, length -= 8) {
        uint32_t first = state ^ crc32c_load32(data), second = crc32c_load32(data + 4);
        state = slice[7][first & 255] ^ slice[6][first >> 8 & 255] ^ slice[5][first >> 16 & 255]
            ^ slice[4][first >> 24] ^ slice[3][second & 255] ^ slice[2][second >> 8 & 255]
            ^ slice[1][second >> 16 & 255] ^ slice[0][second >> 24];
    }
    for (; length > 0; data++, length--)
        state = state >> 8 ^ slice[0][(state ^ *data) & 255];
    return state;
}

// What a constructor of another library would get if it ran before ours: slow, and right without any table.
static uint32_t bitwise(uint32_t state, const uint8_t *data, size_t length) {
    for (; length > 0; data++, length--) {
        state ^= *data;
        for (int bit = 0; bit < 8; bit++)
            state = times_x(state);
    }
    return state;
}

// A method that is missing here stays null. All three are written before `main` and only read after that.
static crc32c_function *methods[SPILLWAY_CRC32C_METHODS] = {[SPILLWAY_CRC32C_PORTABLE] = bitwise};
static crc32c_function *chosen_function = bitwise;
static enum spillway_crc32c_method chosen = SPILLWAY_CRC32C_PORTABLE;

static void find_methods(void) {
    methods[SPILLWAY_CRC32C_PORTABLE] = portable;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("sse4.2"))
        return;
    methods[SPILLWAY_CRC32C_INSTRUCTION] = spillway_crc32c_instruction;
    if (!__builtin_cpu_supports("pclmul") || !__builtin_cpu_supports("avx"))
        return;
    spillway_crc32c_prepare_fold_128();
    methods[SPILLWAY_CRC32C_FOLD_128] = spillway_crc32c_fold_128;
    // The checks include the operating system's part, which is to save the wide registers.
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("vpclmulqdq"))
        return;
    spillway_crc32c_prepare_fold_512();
    methods[SPILLWAY_CRC32C_FOLD_512] = spillway_crc32c_fold_512;
#elif defined(__aarch64__) && defined(__linux__)
    if (getauxval(AT_HWCAP) & HWCAP_CRC32)
        methods[SPILLWAY_CRC32C_INSTRUCTION] = spillway_crc32c_instruction;
#endif
}

// 101 is the earliest priority a program may use.
__attribute__((constructor(101))) static void choose(void) {
    prepare_slices();
    prepare_shift(&spillway_crc32c_long_shift, CRC32C_LONG_STREAM);
    prepare_shift(&spillway_crc32c_short_shift, CRC32C_SHORT_STREAM);
    find_methods();
    for (int method = 0; method < SPILLWAY_CRC32C_METHODS; method++)
        if (methods[method]) {
            chosen = (enum spillway_crc32c_method)method;
            chosen_function = methods[method];
        }
}

uint32_t spillway_crc32c(uint32_t crc, const void *data, size_t length) {
    return ~chosen_function(~crc, data, length);
}

bool spillway_crc32c_with(enum spillway_crc32c_method method, uint32_t *crc, const void *data, size_t length) {
    if ((unsigned)method >= SPILLWAY_CRC32C_METHODS || !methods[method])
        return false;
    *crc = ~methods[method](~*crc, data, length);
    return true;
}

enum spillway_crc32c_method spillway_crc32c_chosen(void) {
    return chosen;
}

const char *spillway_crc32c_name(void) {
    return spillway_crc32c_method_name(chosen);
}

const char *spillway_crc32c_method_name(enum spillway_crc32c_method method) {
    switch (method) {
    case SPILLWAY_CRC32C_PORTABLE: return "slicing by 8";
#if defined(__aarch64__)
    case SPILLWAY_CRC32C_INSTRUCTION: return "crc32cx, three streams";
#else
    case SPILLWAY_CRC32C_INSTRUCTION: return "crc32q, three streams";
#endif
    case SPILLWAY_CRC32C_FOLD_128: return "pclmulqdq and crc32q";
    case SPILLWAY_CRC32C_FOLD_512: return "vpclmulqdq, AVX-512";
    }
    return "none";
}
