// io_uring(7) for the sending of files with as few system calls as possible: operations are prepared in shared memory, and
// one call starts them all and waits until all are done. Failures are -errno.
#ifndef SPILLWAY_RING_H
#define SPILLWAY_RING_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

struct spillway_ring;

/// A ring for this many operations at a time, with a table of this many files of its own. NULL with errno.
struct spillway_ring *spillway_ring_open(unsigned operations, unsigned files);

/// Ends what is under way, closes all files of the table, and frees everything.
void spillway_ring_close(struct spillway_ring *ring);

/// How an operation is tied to others.
enum spillway_ring_order {
    /// It stands alone, or is the last of a chain.
    SPILLWAY_RING_ALONE = 0,
    /// The next one begins when this one has succeeded, and is cancelled otherwise.
    SPILLWAY_RING_THEN_NEXT = 1,
};

// What can be prepared. `tag` is below the number of operations and finds the result; `slot` is a place of the table of files.

/// socket(2) of a stream, into the table.
void spillway_ring_socket(struct spillway_ring *ring, unsigned tag, unsigned slot, int family, int order);
/// connect(2). The address must stay until the run is over.
void spillway_ring_connect(
    struct spillway_ring *ring, unsigned tag, unsigned slot, const struct sockaddr *address, socklen_t length, int order);
/// sendmsg(2) of all bytes. What the pieces point to must stay until the run is over.
void spillway_ring_send(struct spillway_ring *ring, unsigned tag, unsigned slot, struct msghdr *message, int order);
/// recv(2) of exactly this many bytes.
void spillway_ring_receive(
    struct spillway_ring *ring, unsigned tag, unsigned slot, void *target, unsigned count, int order);
/// openat(2) for reading, into the table, in place of what is there.
void spillway_ring_open_file(struct spillway_ring *ring, unsigned tag, unsigned slot, const char *path, int order);
/// pread(2) from the start.
void spillway_ring_read(
    struct spillway_ring *ring, unsigned tag, unsigned slot, void *target, unsigned count, int order);
/// statx(2): size, times, mode and identity.
void spillway_ring_look(struct spillway_ring *ring, unsigned tag, const char *path, void *target, int order);
/// Nothing; what is prepared after it begins when everything before it is done, well or not.
void spillway_ring_barrier(struct spillway_ring *ring, unsigned tag);

/// Starts what was prepared and waits until all of it is done, in one system call (a second one only after a signal).
/// 0, or -ETIME with what was not done at the end of the time cancelled by nobody: the ring is of no use then.
int spillway_ring_run(struct spillway_ring *ring, uint64_t nanoseconds);

/// The result of an operation of the last run: what the call would return, -errno, or INT32_MIN if it is not done.
int32_t spillway_ring_result(const struct spillway_ring *ring, unsigned tag);

/// What statx(2) has found.
struct spillway_look {
    uint64_t size, inode, device;
    int64_t modified, changed;
    uint32_t mode;
};

/// Bytes that `spillway_ring_look` writes.
size_t spillway_look_bytes(void);
/// Understands them.
struct spillway_look spillway_look_at(const void *bytes);

#endif
