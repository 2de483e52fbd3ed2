#define _GNU_SOURCE
#include "cfileservice.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int spillway_inotify(void) {
    int descriptor = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    return descriptor < 0 ? -errno : descriptor;
}

int spillway_inotify_watch(int inotify, int file) {
    char path[40];
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    int watch = inotify_add_watch(inotify, path, IN_MODIFY | IN_CLOSE_WRITE | IN_MOVE_SELF | IN_DELETE_SELF | IN_ATTRIB);
    return watch < 0 ? -errno : watch;
}

void spillway_inotify_end(int inotify, int watch) { (void)inotify_rm_watch(inotify, watch); }

uint32_t spillway_inotify_next(const void *bytes, uint32_t count, int *watch, uint32_t *event) {
    const struct inotify_event *found = bytes;
    if (count < sizeof *found || count < sizeof *found + found->len) return 0;
    *watch = found->wd;
    *event = (found->mask & IN_MODIFY ? SPILLWAY_INOTIFY_GREW : 0) |
             (found->mask & IN_CLOSE_WRITE ? SPILLWAY_INOTIFY_CLOSED : 0) |
             (found->mask & (IN_MOVE_SELF | IN_DELETE_SELF) ? SPILLWAY_INOTIFY_MOVED : 0) |
             (found->mask & IN_ATTRIB ? SPILLWAY_INOTIFY_CHANGED : 0) |
             (found->mask & IN_IGNORED ? SPILLWAY_INOTIFY_UNWATCHED : 0) |
             (found->mask & IN_Q_OVERFLOW ? SPILLWAY_INOTIFY_OVERFLOW : 0);
    return (uint32_t)sizeof *found + found->len;
}
