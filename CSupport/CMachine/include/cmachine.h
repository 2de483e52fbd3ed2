// What Swift cannot say by itself: GNU-only calls, variadic calls, macros with side effects, and the promise that a
// C function neither locks nor allocates. Every symbol is prefixed with `spillway_`.
#ifndef SPILLWAY_CMACHINE_H
#define SPILLWAY_CMACHINE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <time.h>

// The promise that lets `@_noLocks` Swift code call a C function. The compiler does not check it: such a function must
// not allocate, take a lock or wait.
#if defined(__swift__) || (defined(__clang__) && __has_attribute(swift_attr))
#define SPILLWAY_NO_LOCKS __attribute__((swift_attr("@_noLocks")))
#else
#define SPILLWAY_NO_LOCKS
#endif

// ---- time -------------------------------------------------------------------------------------------------------

/// Nanoseconds of a POSIX clock (clock_gettime(2); the vDSO answers without a system call for the clocks used here).
SPILLWAY_NO_LOCKS static inline uint64_t spillway_clock_nanoseconds(int clock) {
    struct timespec now;
    clock_gettime((clockid_t)clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/// Sleeps for about this many nanoseconds. It waits, so only idle strategies call it; it neither locks nor allocates.
SPILLWAY_NO_LOCKS static inline void spillway_sleep_nanoseconds(uint64_t nanoseconds) {
    struct timespec span = {.tv_sec = (time_t)(nanoseconds / 1000000000u), .tv_nsec = (long)(nanoseconds % 1000000000u)};
    nanosleep(&span, NULL);
}

/// Tells the core that this is a spin loop.
SPILLWAY_NO_LOCKS static inline void spillway_cpu_relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

// ---- memory -----------------------------------------------------------------------------------------------------

/// memcpy(3) under the promise above.
SPILLWAY_NO_LOCKS static inline void spillway_copy(void *target, const void *source, size_t length) {
    __builtin_memcpy(target, source, length);
}

/// memmove(3) under the promise above.
SPILLWAY_NO_LOCKS static inline void spillway_move(void *target, const void *source, size_t length) {
    __builtin_memmove(target, source, length);
}

/// Asks for memory that will be read soon. It never faults.
SPILLWAY_NO_LOCKS static inline void spillway_prefetch_range(const void *start, size_t length) {
    for (size_t offset = 0; offset < length; offset += 64) __builtin_prefetch((const char *)start + offset, 0, 3);
}

/// Asks for memory that will be written soon. It never faults.
SPILLWAY_NO_LOCKS static inline void spillway_prefetch_range_to_write(void *start, size_t length) {
    for (size_t offset = 0; offset < length; offset += 64) __builtin_prefetch((char *)start + offset, 1, 3);
}

/// Has the cache fetch the line of an address that will be read, or written, soon. Any address will do.
SPILLWAY_NO_LOCKS static inline void spillway_prefetch(const void *address) { __builtin_prefetch(address, 0); }
SPILLWAY_NO_LOCKS static inline void spillway_prefetch_to_write(const void *address) { __builtin_prefetch(address, 1); }

/// memset(3) under the promise above.
SPILLWAY_NO_LOCKS static inline void spillway_fill(void *target, int byte, size_t length) {
    __builtin_memset(target, byte, length);
}

/// memcmp(3) under the promise above.
SPILLWAY_NO_LOCKS static inline int spillway_compare(const void *left, const void *right, size_t length) {
    return __builtin_memcmp(left, right, length);
}

/// Maps anonymous memory; `huge_shift` is 0 for ordinary pages, 21 for 2 MiB, 30 for 1 GiB. NULL on failure (errno).
void *spillway_map_anonymous(size_t length, int huge_shift);

/// Maps `length` bytes of fresh shared memory twice in a row, so that offset i and i + length are the same byte.
/// `length` is a multiple of the page size. NULL on failure (errno).
void *spillway_map_mirrored(size_t length);

// ---- threads ----------------------------------------------------------------------------------------------------

/// Restricts the calling thread to the CPUs whose bits are set; 0 or an errno.
int spillway_pin_self(const uint64_t *cpu_bits, size_t words);

/// The CPUs the calling thread may run on; 0 or an errno.
int spillway_affinity(uint64_t *cpu_bits, size_t words);

/// Names the calling thread (cut to 15 bytes), as perf and /proc show it.
void spillway_name_self(const char *name);

/// Starts a joinable thread with every signal blocked; 0 or an errno.
int spillway_thread_start(uint64_t *thread, void *(*body)(void *), void *context);

/// Waits for a thread started by `spillway_thread_start`.
int spillway_thread_join(uint64_t thread);

// ---- files and sockets -------------------------------------------------------------------------------------------

/// write(2) of one eventfd tick: wakes a sleeping poller. Never waits because the counter cannot get near its limit.
SPILLWAY_NO_LOCKS void spillway_event_signal(int descriptor);

/// Empties an eventfd.
SPILLWAY_NO_LOCKS void spillway_event_drain(int descriptor);

/// close(2) of a descriptor that nobody waits for.
SPILLWAY_NO_LOCKS void spillway_close(int descriptor);

/// writev(2) on a non-blocking socket without SIGPIPE (sendmsg with MSG_NOSIGNAL | MSG_DONTWAIT). Bytes, or -errno.
SPILLWAY_NO_LOCKS long spillway_send_vector(int socket, const struct iovec *vector, int count);

/// recv(2) without waiting. Bytes, 0 at the end of the stream, or -errno.
SPILLWAY_NO_LOCKS long spillway_receive(int socket, void *buffer, size_t length);

/// Bytes written to a TCP socket that the peer has not acknowledged (SIOCOUTQ, tcp(7)), or -errno.
SPILLWAY_NO_LOCKS long spillway_unacknowledged(int socket);

/// How much more the other end of a TCP connection can take: its window, less what waits here to be sent, and where it is near
/// less all that is outstanding, which the caller knows (TCP_INFO); or -errno.
SPILLWAY_NO_LOCKS long spillway_peer_room(int socket, uint64_t outstanding);

/// accept4(2) with SOCK_NONBLOCK | SOCK_CLOEXEC: the connection, or -errno.
int spillway_accept(int socket);

/// Gives a file a new name in the same file system without replacing anything (renameat2 with RENAME_NOREPLACE): 0 or
/// -errno, -EEXIST if the new name is taken. Where the file system lacks the flag: a look, and then a plain rename.
int spillway_rename_new(int from_directory, const char *from, int to_directory, const char *to);

/// openat(2), which is variadic: a descriptor, or -errno.
int spillway_open_at(int directory, const char *path, int flags, unsigned mode);

/// Makes `old` refer to what `new` does, at once for everybody who uses it (dup3(2) with O_CLOEXEC): 0 or -errno.
int spillway_replace_descriptor(int old, int new);

/// Opens a path that cannot lead out of `directory`, whatever it says: openat2(2) with RESOLVE_BENEATH and
/// RESOLVE_NO_MAGICLINKS (Linux 5.6), and RESOLVE_NO_SYMLINKS if links are not followed. A descriptor or -errno.
int spillway_open_beneath(int directory, const char *path, int flags, unsigned mode, int follows_links);

/// Reserves space of a file without changing its size (fallocate with FALLOC_FL_KEEP_SIZE): 0 or -errno.
int spillway_reserve(int descriptor, long start, long length);

/// Turns O_DIRECT of an open file on or off: 0 or -errno, -EINVAL where the file system has no such thing.
int spillway_set_direct(int descriptor, int is_direct);

// ---- crash points ------------------------------------------------------------------------------------------------

/// The number of the armed crash point, 0 if none is: see Machine/CrashPoint.swift.
extern int spillway_crash_armed;

/// Ends the process by SIGKILL when this is the armed point and it has been passed often enough.
SPILLWAY_NO_LOCKS void spillway_crash_reached(void);

/// Arms a point: the process dies when it passes it for the `count`th time. For the start of a process.
void spillway_crash_arm(int point, int count);

/// Passes a point; one load and one comparison when nothing is armed.
SPILLWAY_NO_LOCKS static inline void spillway_crash_pass(int point) {
    if (__builtin_expect(spillway_crash_armed == point, 0)) spillway_crash_reached();
}

/// Whether a point is armed.
SPILLWAY_NO_LOCKS static inline int spillway_crash_is_armed(int point) { return spillway_crash_armed == point; }

/// The values of socket options whose names are macros Swift does not import.
int spillway_tcp_notsent_lowat(void);
int spillway_tcp_user_timeout(void);

#endif
