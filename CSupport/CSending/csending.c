#define _GNU_SOURCE
#include "csending.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22 // Linux 5.14
#endif
#ifndef SYS_cachestat
#define SYS_cachestat 451 // Linux 6.5; one number on all architectures
#endif

static long result(long count) { return count < 0 ? -errno : count; }

long spillway_sendfile(int socket, int file, uint64_t offset, size_t count) {
    off_t position = (off_t)offset;
    return result(sendfile(socket, file, &position, count));
}

long spillway_splice_in(int file, uint64_t offset, int pipe, size_t count) {
    loff_t position = (loff_t)offset;
    return result(splice(file, &position, pipe, NULL, count, SPLICE_F_MOVE | SPLICE_F_NONBLOCK));
}

long spillway_splice_out(int pipe, int socket, size_t count, int more) {
    unsigned flags = SPLICE_F_MOVE | SPLICE_F_NONBLOCK | (more ? SPLICE_F_MORE : 0);
    return result(splice(pipe, NULL, socket, NULL, count, flags));
}

int spillway_pipe(int *read_end, int *write_end, int byte_count) {
    int ends[2];
    if (pipe2(ends, O_NONBLOCK | O_CLOEXEC) != 0) return -errno;
    *read_end = ends[0];
    *write_end = ends[1];
    (void)fcntl(ends[1], F_SETPIPE_SZ, byte_count);
    return 0;
}

void spillway_close_pipe(int one, int other) {
    close(one);
    close(other);
}

// Offsets of mappings are multiples of the page size.
static const uint64_t page_mask = 4095;

long spillway_send_mapped(int socket, int file, uint64_t offset, size_t count) {
    size_t lead = (size_t)(offset & page_mask);
    struct stat status;
    if (fstat(file, &status) != 0) return -errno;
    if (offset >= (uint64_t)status.st_size) return 0;
    if (count > (uint64_t)status.st_size - offset) count = (size_t)((uint64_t)status.st_size - offset);
    char *base = mmap(NULL, lead + count, PROT_READ, MAP_SHARED, file, (off_t)(offset - lead));
    if (base == MAP_FAILED) return -errno;
    // A file cut off between fstat and here gives EFAULT, because it is the kernel that reads: never SIGBUS.
    long sent = result(send(socket, base + lead, count, MSG_NOSIGNAL | MSG_DONTWAIT));
    munmap(base, lead + count);
    return sent == -EFAULT ? 0 : sent;
}

long spillway_send(int socket, const void *bytes, size_t count, int more) {
    return result(send(socket, bytes, count, MSG_NOSIGNAL | MSG_DONTWAIT | (more ? MSG_MORE : 0)));
}

long spillway_send_pair(
    int socket, const void *first, size_t first_count, const void *second, size_t second_count, int more) {
    struct iovec pieces[2] = {{(void *)first, first_count}, {(void *)second, second_count}};
    struct msghdr message = {.msg_iov = pieces, .msg_iovlen = 2};
    return result(sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT | (more ? MSG_MORE : 0)));
}

long spillway_read_at(int file, void *target, size_t count, uint64_t offset) {
    return result(pread(file, target, count, (off_t)offset));
}

long spillway_read_resident(int file, void *target, size_t count, uint64_t offset) {
    struct iovec piece = {target, count};
    return result(preadv2(file, &piece, 1, (off_t)offset, RWF_NOWAIT));
}

long spillway_cached_pages(int file, uint64_t offset, uint64_t count) {
    struct { uint64_t offset, length; } range = {offset, count};
    struct { uint64_t cached, dirty, writeback, evicted, recently_evicted; } statistics = {0};
    if (syscall(SYS_cachestat, file, &range, &statistics, 0) != 0) return -errno;
    return (long)statistics.cached;
}

// The way for kernels and file systems that cannot fill a mapping at a stroke: one byte of every page.
static int load_by_reading(int file, uint64_t offset, uint64_t end) {
    char byte;
    for (uint64_t page = offset; page < end; page = (page | page_mask) + 1)
        if (pread(file, &byte, 1, (off_t)page) < 0) return -errno;
    return 0;
}

int spillway_load(int file, uint64_t offset, uint64_t count) {
    uint64_t end = offset + count, start = offset & ~page_mask;
    // One readahead reads no more than the device takes in one request, so that it is asked in steps.
    for (uint64_t step = start; step < end; step += 128 << 10)
        (void)readahead(file, (off_t)step, end - step < 128 << 10 ? end - step : 128 << 10);
    void *base = mmap(NULL, end - start, PROT_READ, MAP_SHARED, file, (off_t)start);
    if (base == MAP_FAILED) return load_by_reading(file, offset, end);
    int status = madvise(base, end - start, MADV_POPULATE_READ) == 0 ? 0 : -errno;
    munmap(base, end - start);
    // EFAULT: the file ends before the part does, which the sending meets in its own way, or the device failed, which the
    // reading tells apart.
    return status == 0 ? 0 : load_by_reading(file, offset, end);
}

int spillway_null(void) { return (int)result(open("/dev/null", O_WRONLY | O_CLOEXEC)); }

int spillway_stream(int file, uint64_t offset, uint64_t count, int null) {
    off_t place = (off_t)offset;
    uint64_t end = offset + count;
    (void)posix_fadvise(file, 0, 0, POSIX_FADV_NORMAL);
    while ((uint64_t)place < end) {
        // The page cache is filled as for any reader, in large pieces, and waited for; nothing takes what was read.
        ssize_t got = sendfile(null, file, &place, end - (uint64_t)place);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return errno == EINVAL || errno == ENOSYS ? spillway_load(file, offset, count) : -errno;
        // The end of the file, which the sending meets in its own way.
        if (got == 0) break;
    }
    return 0;
}

int spillway_release(int file, uint64_t offset, uint64_t count) {
    return -posix_fadvise(file, (off_t)offset, (off_t)count, POSIX_FADV_DONTNEED);
}

void spillway_no_read_ahead(int file) { (void)posix_fadvise(file, 0, 0, POSIX_FADV_RANDOM); }

int spillway_semaphore(void) { return (int)result(eventfd(0, EFD_SEMAPHORE | EFD_NONBLOCK | EFD_CLOEXEC)); }

int spillway_semaphore_take(int semaphore, int milliseconds) {
    struct pollfd entry = {.fd = semaphore, .events = POLLIN};
    uint64_t one;
    if (read(semaphore, &one, sizeof one) == sizeof one) return 1;
    if (poll(&entry, 1, milliseconds) <= 0) return 0;
    return read(semaphore, &one, sizeof one) == sizeof one;
}
