// libfuse's low-level API, and what Swift cannot say of the calls that a live file system needs: variadic calls and structures
// with sizes. Every symbol is prefixed with `spillway_`.
#ifndef SPILLWAY_CFUSE_H
#define SPILLWAY_CFUSE_H

#define FUSE_USE_VERSION 312
#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <syslog.h>
#include <unistd.h>

/// Whether somebody has the file open for writing: 1 yes, 0 no, -1 it cannot be told. A read lease is only granted on a file
/// that nobody writes (fcntl(2), F_SETLEASE); it is given back at once.
static inline int spillway_has_writer(int descriptor) {
    if (fcntl(descriptor, 1024 /* F_SETLEASE */, F_RDLCK) == 0) {
        fcntl(descriptor, 1024, F_UNLCK);
        return 0;
    }
    return errno == EAGAIN ? 1 : -1;
}

/// A writer that opens the file while the lease is held would make the kernel send SIGIO, whose default is the end.
static inline void spillway_ignore_lease_breaks(void) { signal(SIGIO, SIG_IGN); }

// The promise that lets `@_noLocks` Swift code call a C function; see CMachine.
#if defined(__swift__) || (defined(__clang__) && __has_attribute(swift_attr))
#define SPILLWAY_NO_LOCKS __attribute__((swift_attr("@_noLocks")))
#else
#define SPILLWAY_NO_LOCKS
#endif

/// pread(2) that goes on after signals. It may wait for the disk, but takes no lock of ours and allocates nothing. Bytes, or -1.
SPILLWAY_NO_LOCKS static inline long spillway_pread(int descriptor, void *target, size_t count, uint64_t offset) {
    ssize_t result;
    do {
        result = pread(descriptor, target, count, (off_t)(offset > INT64_MAX ? INT64_MAX : offset));
    } while (result < 0 && errno == EINTR);
    return result;
}

/// A descriptor that is readable when one of these signals has come (signalfd(2)).
static inline int spillway_signals(const sigset_t *signals) { return signalfd(-1, signals, SFD_CLOEXEC); }

/// syslog(3) of one line.
static inline void spillway_syslog(const char *line) { syslog(LOG_DAEMON | LOG_NOTICE, "%s", line); }

/// The bits of a descriptor's path flags that Swift does not see.
static inline int spillway_path_only(void) { return O_RDONLY | O_CLOEXEC | 010000000 /* O_PATH */; }

/// umount2(2) that takes away a dead mount although it is busy. 0, or an errno.
int umount2(const char *target, int flags);
static inline int spillway_detach(const char *path) { return umount2(path, 2 /* MNT_DETACH */) == 0 ? 0 : errno; }

// Passthrough (Documentation/filesystems/fuse-passthrough.rst): the kernel reads from a file of ours without asking. libfuse
// knows it from 3.17 on only, so what it needs is said here: two bits in the answer to INIT, one in that to OPEN, two calls.

/// Changes libfuse's answer to INIT, which is a fuse_out_header of 16 bytes and a fuse_init_out of 64 (linux/fuse.h), so that
/// files may be passed through. What is not such an answer stays as it is.
static inline void spillway_allow_passthrough(uint8_t *answer, size_t count) {
    uint32_t flags, more, depth = 1;
    if (count < 16 + 40) return;
    memcpy(&flags, answer + 16 + 12, 4);
    memcpy(&more, answer + 16 + 32, 4);
    flags |= 1u << 30;  // FUSE_INIT_EXT
    more |= 1u << 5;    // FUSE_PASSTHROUGH, bit 37
    memcpy(answer + 16 + 12, &flags, 4);
    memcpy(answer + 16 + 32, &more, 4);
    memcpy(answer + 16 + 36, &depth, 4);
}

/// Makes a file known to the kernel as one to read from itself. Its number, or -1: no permission, no such kernel, or a file
/// system that cannot be stacked.
static inline int spillway_open_backing(int device, int file) {
    struct {
        int32_t fd;
        uint32_t flags;
        uint64_t padding;
    } map = {.fd = file};
    return ioctl(device, _IOW(229, 1, map), &map);
}

static inline void spillway_close_backing(int device, int number) {
    uint32_t id = (uint32_t)number;
    ioctl(device, _IOW(229, 2, uint32_t), &id);
}

/// Answers an OPEN with a file to be passed through; as fuse_reply_open(3).
static inline int spillway_reply_passthrough(fuse_req_t request, uint64_t handle, int number) {
    struct {
        uint64_t handle;
        uint32_t flags;
        int32_t backing;
    } answer = {handle, 1u << 7 /* FOPEN_PASSTHROUGH */, number};
    return fuse_reply_buf(request, (const char *)&answer, sizeof answer);
}

#endif
