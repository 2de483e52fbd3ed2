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
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
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

#endif
