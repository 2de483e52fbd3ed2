// Calls of Linux that Glibc's module does not show to Swift. Every symbol is prefixed with `spillway_`.
#ifndef SPILLWAY_CFILESERVICE_H
#define SPILLWAY_CFILESERVICE_H

#include <stdint.h>

/// inotify_init1(2), non-blocking: a descriptor or -errno.
int spillway_inotify(void);

/// Watches an open file for growth, closing by its writer, renaming and removal: a watch or -errno. It is named by its
/// descriptor, so that no path is looked up twice.
int spillway_inotify_watch(int inotify, int file);

/// What a watch tells of: growth, closing by a writer, renaming, another number of names, its own end, lost events.
enum spillway_inotify_event {
    SPILLWAY_INOTIFY_GREW = 1,
    SPILLWAY_INOTIFY_CLOSED = 2,
    SPILLWAY_INOTIFY_MOVED = 4,
    SPILLWAY_INOTIFY_CHANGED = 32,
    SPILLWAY_INOTIFY_UNWATCHED = 8,
    SPILLWAY_INOTIFY_OVERFLOW = 16,
};

/// Ends a watch.
void spillway_inotify_end(int inotify, int watch);

/// Takes the next event out of `count` bytes that were read at `bytes`: how long it is, 0 if there is none.
uint32_t spillway_inotify_next(const void *bytes, uint32_t count, int *watch, uint32_t *event);

#endif
