#ifndef SPILLWAY_CRC32C_H
#define SPILLWAY_CRC32C_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Tells Swift that a function neither locks nor allocates; nothing at all to a compiler that does not know it.
#ifndef SPILLWAY_NO_LOCKS
#if defined(__has_attribute)
#if __has_attribute(swift_attr)
#define SPILLWAY_NO_LOCKS __attribute__((swift_attr("@_noLocks")))
#endif
#endif
#endif
#ifndef SPILLWAY_NO_LOCKS
#define SPILLWAY_NO_LOCKS
#endif

#ifdef __cplusplus
extern "C" {
#endif

/// The ways to compute the checksum, from the one every machine has to the fastest.
enum spillway_crc32c_method {
    /// Eight table look-ups for eight bytes; any processor.
    SPILLWAY_CRC32C_PORTABLE = 0,
    /// The processor's CRC32C instruction over three interleaved streams (x86 SSE4.2, ARMv8 CRC32).
    SPILLWAY_CRC32C_INSTRUCTION = 1,
    /// Carry-less multiplication of 128-bit words beside three instruction streams (x86 PCLMULQDQ and
    /// AVX).
    SPILLWAY_CRC32C_FOLD_128 = 2,
    /// Carry-less multiplication of 512-bit words (x86 AVX-512 with VPCLMULQDQ).
    SPILLWAY_CRC32C_FOLD_512 = 3,
};

/// One more than the greatest method.
#define SPILLWAY_CRC32C_METHODS 4

/// CRC32C (Castagnoli) as in RFC 3720 section 12.1 and appendix B.4: reflected, first and last value inverted.
///
/// `crc` is 0 to begin with, or the result for the bytes before these, which continues it. The method is chosen
/// once, before `main`, so any thread may call this at any time: it reads the data and constant tables only.
uint32_t spillway_crc32c(uint32_t crc, const void *data, size_t length) SPILLWAY_NO_LOCKS;

/// The method that `spillway_crc32c` uses on this processor.
enum spillway_crc32c_method spillway_crc32c_chosen(void) SPILLWAY_NO_LOCKS;

/// The name of the method that `spillway_crc32c` uses; a constant string.
const char *spillway_crc32c_name(void) SPILLWAY_NO_LOCKS;

/// The name of any method on this architecture; a constant string, and "none" for a number that is no method.
const char *spillway_crc32c_method_name(enum spillway_crc32c_method method) SPILLWAY_NO_LOCKS;

/// Continues `*crc` by a given method, for tests and benchmarks.
///
/// Returns false, and leaves `*crc` as it is, if this processor lacks what the method needs.
bool spillway_crc32c_with(enum spillway_crc32c_method method, uint32_t *crc, const void *data, size_t length)
    SPILLWAY_NO_LOCKS;

#ifdef __cplusplus
}
#endif

#endif
