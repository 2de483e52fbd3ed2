// BLAKE3 (the specification of O'Connor, Aumasson, Neves and Wilcox-O'Hearn, 2020; unkeyed, 32 bytes of output) in the parts
// from which the tree of a file can be built piece by piece. Many chunks are hashed at once, one per lane of a vector.
// Every symbol is prefixed with `spillway_`.
#ifndef SPILLWAY_CHASHING_H
#define SPILLWAY_CHASHING_H

#include <stddef.h>
#include <stdint.h>

// The promise that lets `@_noLocks` Swift code call a C function; the compiler does not check it.
#if defined(__swift__) || (defined(__clang__) && __has_attribute(swift_attr))
#define SPILLWAY_HASHING_NO_LOCKS __attribute__((swift_attr("@_noLocks")))
#else
#define SPILLWAY_HASHING_NO_LOCKS
#endif

/// The chaining values, eight words each, of whole chunks of 1024 bytes that lie one behind the other. `counter` is the
/// number of the first one within the file.
SPILLWAY_HASHING_NO_LOCKS void spillway_hash_chunks(
    const void *input, size_t chunks, uint64_t counter, uint32_t *values);

/// The chaining value of the last chunk of a file, of 0 to 1024 bytes. `is_root` if it is the only chunk.
SPILLWAY_HASHING_NO_LOCKS void spillway_hash_last_chunk(
    const void *input, size_t length, uint64_t counter, int is_root, uint32_t *value);

/// The chaining value over `count` adjacent subtrees of equal size, of which the last may be smaller; at least one. The
/// values are overwritten. `is_root` if nothing else belongs to the file.
SPILLWAY_HASHING_NO_LOCKS void spillway_hash_combine(
    uint32_t *values, size_t count, int is_root, uint32_t *result);

/// How many chunks are hashed at once here: 4, 8 or 16.
SPILLWAY_HASHING_NO_LOCKS int spillway_hash_lanes(void);

/// For tests: hashes at most this many chunks at once from now on.
void spillway_hash_limit_lanes(int lanes);

#endif
