// The calls that move parts of files into sockets, each once, with -errno as its failure and without SIGPIPE. Every symbol
// is prefixed with `spillway_`.
#ifndef SPILLWAY_CSENDING_H
#define SPILLWAY_CSENDING_H

#include <stddef.h>
#include <stdint.h>

// The promise that lets `@_noLocks` Swift code call a C function; the compiler does not check it. Calls that read a file
// keep it because their caller has looked first whether the bytes are in memory.
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

/// sendfile(2): bytes, 0 at the end of the file, or -errno.
SPILLWAY_NO_LOCKS long spillway_sendfile(int socket, int file, uint64_t offset, size_t count);

/// splice(2) from a file into a pipe: bytes, 0 at the end of the file, or -errno.
SPILLWAY_NO_LOCKS long spillway_splice_in(int file, uint64_t offset, int pipe, size_t count);

/// splice(2) from a pipe into a socket: bytes or -errno. `more` says that more follows (SPLICE_F_MORE).
SPILLWAY_NO_LOCKS long spillway_splice_out(int pipe, int socket, size_t count, int more);

/// A non-blocking pipe of about this many bytes (F_SETPIPE_SZ; less if the user's quota is used up). 0 or -errno.
SPILLWAY_NO_LOCKS int spillway_pipe(int *read_end, int *write_end, int byte_count);

/// Closes both ends of a pipe.
SPILLWAY_NO_LOCKS void spillway_close_pipe(int one, int other);

/// Maps a part of a file, sends it and takes the mapping away: bytes, 0 at the end of the file, or -errno.
SPILLWAY_NO_LOCKS long spillway_send_mapped(int socket, int file, uint64_t offset, size_t count);

/// send(2) without SIGPIPE and without waiting. `more` says that more follows (MSG_MORE). Bytes or -errno.
SPILLWAY_NO_LOCKS long spillway_send(int socket, const void *bytes, size_t count, int more);

/// sendmsg(2) of two pieces, under the same terms.
SPILLWAY_NO_LOCKS long spillway_send_pair(
    int socket, const void *first, size_t first_count, const void *second, size_t second_count, int more);

/// pread(2): bytes, 0 at the end of the file, or -errno.
SPILLWAY_NO_LOCKS long spillway_read_at(int file, void *target, size_t count, uint64_t offset);

/// preadv2(2) with RWF_NOWAIT: what is in memory now; -EAGAIN if the first byte is not.
SPILLWAY_NO_LOCKS long spillway_read_resident(int file, void *target, size_t count, uint64_t offset);

/// How many pages of a part of a file are in the page cache (cachestat(2), Linux 6.5), or -errno.
SPILLWAY_NO_LOCKS long spillway_cached_pages(int file, uint64_t offset, uint64_t count);

/// Brings a part of a file into memory and returns when it is there. 0 or -errno; the end of the file is none.
int spillway_load(int file, uint64_t offset, uint64_t count);

/// Opens /dev/null for writing; or -errno.
int spillway_null(void);

/// As spillway_load, but as one stream of reads with the kernel's own read-ahead, which is turned on for this descriptor: the
/// kernel then fills its cache in large pieces, which are cheaper to fill, to send and to let go of. It reads beyond the part.
int spillway_stream(int file, uint64_t offset, uint64_t count, int null);

/// Lets go of the cached pages of a part of a file (POSIX_FADV_DONTNEED). 0 or -errno.
int spillway_release(int file, uint64_t offset, uint64_t count);

/// Turns the kernel's own read-ahead off for this descriptor (POSIX_FADV_RANDOM).
SPILLWAY_NO_LOCKS void spillway_no_read_ahead(int file);

/// An eventfd that counts down by one with each read (EFD_SEMAPHORE), non-blocking; or -errno.
int spillway_semaphore(void);

/// Waits until the semaphore has a count and takes one, for at most this many milliseconds: 1 taken, 0 not.
int spillway_semaphore_take(int semaphore, int milliseconds);

#endif
