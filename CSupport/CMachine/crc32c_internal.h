// What the CRC32C methods share. Everything works on the inner state: the checksum without its final inversion.
//
// Polynomials over GF(2) modulo P are 32-bit words in reflected order: bit 31 is the coefficient of x^0, bit 0
// that of x^31. All constants are powers of x modulo P, computed when the program starts by
// `spillway_crc32c_power`, so that this source holds no number that cannot be checked by reading it.

#ifndef SPILLWAY_CRC32C_INTERNAL_H
#define SPILLWAY_CRC32C_INTERNAL_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define CRC32C_HIDDEN __attribute__((visibility("hidden")))

/// Advances a state over some bytes.
typedef uint32_t crc32c_function(uint32_t state, const uint8_t *data, size_t length);

/// x^exponent mod P.
CRC32C_HIDDEN uint32_t spillway_crc32c_power(uint64_t exponent);

/// The product of two polynomials mod P.
CRC32C_HIDDEN uint32_t spillway_crc32c_multiply(uint32_t a, uint32_t b);

/// The bytes of each of three streams in a long and in a short round of the instruction method. A 64 KiB batch
/// is ten long rounds and a few short ones; a 1500-byte frame is one short round and a rest.
enum { CRC32C_LONG_STREAM = 2048, CRC32C_SHORT_STREAM = 256 };

/// The map "followed by so many zero bytes", as one table of 16 products per nibble of the state.
struct crc32c_shift {
    uint32_t nibble[8][16];
};

/// Filled when the program starts and only read after that.
CRC32C_HIDDEN extern struct crc32c_shift spillway_crc32c_long_shift, spillway_crc32c_short_shift;

static inline uint32_t crc32c_shifted(const struct crc32c_shift *shift, uint32_t state) {
    uint32_t sum = 0;
    for (int i = 0; i < 8; i++)
        sum ^= shift->nibble[i][state >> (4 * i) & 15];
    return sum;
}

/// Unaligned loads in the byte order of the polynomial, which is little endian.
static inline uint32_t crc32c_load32(const uint8_t *data) {
    uint32_t word;
    memcpy(&word, data, sizeof word);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap32(word);
#endif
    return word;
}

static inline uint64_t crc32c_load64(const uint8_t *data) {
    uint64_t word;
    memcpy(&word, data, sizeof word);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return word;
}

#if defined(__x86_64__)
/// Compute the constants of the two folding methods; once, before those are called. The 512-bit method leaves
/// short lengths to the 128-bit one.
CRC32C_HIDDEN void spillway_crc32c_prepare_fold_128(void), spillway_crc32c_prepare_fold_512(void);
CRC32C_HIDDEN crc32c_function spillway_crc32c_fold_128, spillway_crc32c_fold_512;
#endif
#if defined(__x86_64__) || defined(__aarch64__)
CRC32C_HIDDEN crc32c_function spillway_crc32c_instruction;
#endif

#endif
