#define _GNU_SOURCE
#include "cdistribution.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

int spillway_write_all_at(int file, const void *bytes, size_t count, uint64_t offset) {
    const char *place = bytes;
    while (count > 0) {
        ssize_t written = pwrite(file, place, count, (off_t)offset);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return -errno;
        if (written == 0) return -EIO;
        place += written;
        offset += (uint64_t)written;
        count -= (size_t)written;
    }
    return 0;
}

int spillway_reserve_space(int file, uint64_t length) {
    if (fallocate(file, FALLOC_FL_KEEP_SIZE, 0, (off_t)length) == 0) return 0;
    return errno == EOPNOTSUPP ? 0 : -errno;
}

void spillway_give_back_space(int file, uint64_t offset, uint64_t length) {
    (void)fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)length);
}

void spillway_set_modified(int file, int64_t nanoseconds) {
    int64_t seconds = nanoseconds / 1000000000, rest = nanoseconds % 1000000000;
    struct timespec times[2] = {
        {.tv_nsec = UTIME_NOW},
        {.tv_sec = rest < 0 ? seconds - 1 : seconds, .tv_nsec = rest < 0 ? rest + 1000000000 : rest},
    };
    (void)futimens(file, times);
}
