// CRC32C on 64-bit ARM: the CRC32C instructions that ARMv8.0 offers and ARMv8.1 requires.

#if defined(__aarch64__)

#include "crc32c_internal.h"

#define CRC32C_TARGET __attribute__((target("crc")))
#define CRC32C_STEP64(state, word) __builtin_arm_crc32cd(state, word)
#define CRC32C_STEP32(state, word) __builtin_arm_crc32cw(state, word)
#define CRC32C_STEP16(state, word) __builtin_arm_crc32ch(state, word)
#define CRC32C_STEP8(state, word) __builtin_arm_crc32cb(state, word)
#include "crc32c_streams.h"

#endif
