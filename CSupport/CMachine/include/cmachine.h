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

/// Has the cache fetch the line of an address that will be read, or written, soon. Any address will do.
SPILLWAY_NO_LOCKS static inline void spillway_prefetch(const void *address) { __builtin_prefetch(address, 0); }
SPILLWAY_NO_LOCKS static inline void spillway_prefetch_to_write(const void *address) { __builtin_prefetch(address, 1); }

/// memset(3) under the promise above.
SPILLWAY_NO_LOCKS static inline void spillway_fill(void *target, int byte, size_t length) {
    __builtin_memset(target, byte, length);
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

/// writev(2) on a non-blocking socket without SIGPIPE (sendmsg with MSG_NOSIGNAL | MSG_DONTWAIT). Bytes, or -errno.
SPILLWAY_NO_LOCKS long spillway_send_vector(int socket, const struct iovec *vector, int count);

/// recv(2) without waiting. Bytes, 0 at the end of the stream, or -errno.
SPILLWAY_NO_LOCKS long spillway_receive(int socket, void *buffer, size_t length);

/// Bytes written to a TCP socket that the peer has not acknowledged (SIOCOUTQ, tcp(7)), or -errno.
SPILLWAY_NO_LOCKS long spillway_unacknowledged(int socket);

/// accept4(2) with SOCK_NONBLOCK | SOCK_CLOEXEC: the connection, or -errno.
int spillway_accept(int socket);

/// The values of socket options whose names are macros Swift does not import.
int spillway_tcp_notsent_lowat(void);
int spillway_tcp_user_timeout(void);

#endif
