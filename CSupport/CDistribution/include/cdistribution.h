// What receivers and senders of whole files need from the kernel and Swift cannot say. Failures are -errno. Every symbol is
// prefixed with `spillway_`.
#ifndef SPILLWAY_CDISTRIBUTION_H
#define SPILLWAY_CDISTRIBUTION_H

#include <stddef.h>
#include <stdint.h>

// The promise that lets `@_noLocks` Swift code call a C function; the compiler does not check it.
#if defined(__swift__) || (defined(__clang__) && __has_attribute(swift_attr))
#define SPILLWAY_DISTRIBUTION_NO_LOCKS __attribute__((swift_attr("@_noLocks")))
#else
#define SPILLWAY_DISTRIBUTION_NO_LOCKS
#endif

/// pwrite(2) of all bytes: 0 or -errno.
SPILLWAY_DISTRIBUTION_NO_LOCKS int spillway_write_all_at(int file, const void *bytes, size_t count, uint64_t offset);

/// Reserves space of a file (fallocate with FALLOC_FL_KEEP_SIZE): 0 or -errno. File systems that cannot are no failure.
int spillway_reserve_space(int file, uint64_t length);

/// Gives back the space of a part of a file, whose bytes are zeros then; where the file system cannot, it stays taken.
void spillway_give_back_space(int file, uint64_t offset, uint64_t length);

/// Sets when a file was changed, nanoseconds since 1970 UTC (futimens(3)); the time of access is now.
void spillway_set_modified(int file, int64_t nanoseconds);

#endif
