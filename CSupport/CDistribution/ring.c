#define _GNU_SOURCE
#include "ring.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <linux/time_types.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

struct spillway_ring {
    int descriptor;
    unsigned operations, prepared;
    void *rings;
    size_t rings_bytes;
    struct io_uring_sqe *entries;
    size_t entries_bytes;
    unsigned *submit_tail, *submit_mask, *submit_order;
    unsigned *done_head, *done_tail, *done_mask;
    struct io_uring_cqe *done;
    int32_t *results;
};

static void *map(int descriptor, size_t bytes, uint64_t place) {
    void *start = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, descriptor, (off_t)place);
    return start == MAP_FAILED ? NULL : start;
}

// One mapping holds both rings since Linux 5.4 (IORING_FEAT_SINGLE_MMAP); direct files of sockets need 5.19 anyway.
static int prepare(struct spillway_ring *ring, const struct io_uring_params *params) {
    size_t submit = params->sq_off.array + params->sq_entries * sizeof(unsigned);
    size_t done = params->cq_off.cqes + params->cq_entries * sizeof(struct io_uring_cqe);
    ring->rings_bytes = submit > done ? submit : done;
    ring->entries_bytes = params->sq_entries * sizeof(struct io_uring_sqe);
    ring->rings = map(ring->descriptor, ring->rings_bytes, IORING_OFF_SQ_RING);
    ring->entries = map(ring->descriptor, ring->entries_bytes, IORING_OFF_SQES);
    if (!ring->rings || !ring->entries) return -1;
    char *base = ring->rings;
    ring->submit_tail = (unsigned *)(base + params->sq_off.tail);
    ring->submit_mask = (unsigned *)(base + params->sq_off.ring_mask);
    ring->submit_order = (unsigned *)(base + params->sq_off.array);
    ring->done_head = (unsigned *)(base + params->cq_off.head);
    ring->done_tail = (unsigned *)(base + params->cq_off.tail);
    ring->done_mask = (unsigned *)(base + params->cq_off.ring_mask);
    ring->done = (struct io_uring_cqe *)(base + params->cq_off.cqes);
    return 0;
}

struct spillway_ring *spillway_ring_open(unsigned operations, unsigned files) {
    struct spillway_ring *ring = calloc(1, sizeof *ring);
    if (!ring) return NULL;
    ring->descriptor = -1;
    ring->results = calloc(operations, sizeof *ring->results);
    struct io_uring_params params = {.flags = IORING_SETUP_SUBMIT_ALL};
    if (ring->results) ring->descriptor = (int)syscall(SYS_io_uring_setup, operations, &params);
    ring->operations = operations;
    if (ring->descriptor < 0 || prepare(ring, &params) != 0) goto failed;
    struct io_uring_rsrc_register table = {.nr = files, .flags = IORING_RSRC_REGISTER_SPARSE};
    if (syscall(SYS_io_uring_register, ring->descriptor, IORING_REGISTER_FILES2, &table, sizeof table) != 0) goto failed;
    return ring;
failed:;
    int code = errno;
    spillway_ring_close(ring);
    errno = code;
    return NULL;
}

void spillway_ring_close(struct spillway_ring *ring) {
    if (ring->entries) munmap(ring->entries, ring->entries_bytes);
    if (ring->rings) munmap(ring->rings, ring->rings_bytes);
    if (ring->descriptor >= 0) close(ring->descriptor);
    free(ring->results);
    free(ring);
}

static struct io_uring_sqe *next(struct spillway_ring *ring, unsigned tag, int operation, int order) {
    if (ring->prepared >= ring->operations || tag >= ring->operations) abort();
    unsigned place = (*ring->submit_tail + ring->prepared) & *ring->submit_mask;
    ring->submit_order[place] = place;
    ring->prepared++;
    ring->results[tag] = INT32_MIN;
    struct io_uring_sqe *entry = &ring->entries[place];
    memset(entry, 0, sizeof *entry);
    entry->opcode = (uint8_t)operation;
    entry->user_data = tag;
    if (order == SPILLWAY_RING_THEN_NEXT) entry->flags |= IOSQE_IO_LINK;
    return entry;
}

static struct io_uring_sqe *next_on(struct spillway_ring *ring, unsigned tag, int operation, unsigned slot, int order) {
    struct io_uring_sqe *entry = next(ring, tag, operation, order);
    entry->flags |= IOSQE_FIXED_FILE;
    entry->fd = (int)slot;
    return entry;
}

void spillway_ring_socket(struct spillway_ring *ring, unsigned tag, unsigned slot, int family, int order) {
    struct io_uring_sqe *entry = next(ring, tag, IORING_OP_SOCKET, order);
    entry->fd = family;
    entry->off = SOCK_STREAM;
    entry->file_index = slot + 1;
}

void spillway_ring_connect(
    struct spillway_ring *ring, unsigned tag, unsigned slot, const struct sockaddr *address, socklen_t length, int order) {
    struct io_uring_sqe *entry = next_on(ring, tag, IORING_OP_CONNECT, slot, order);
    entry->addr = (uint64_t)(uintptr_t)address;
    entry->off = length;
}

void spillway_ring_send(struct spillway_ring *ring, unsigned tag, unsigned slot, struct msghdr *message, int order) {
    struct io_uring_sqe *entry = next_on(ring, tag, IORING_OP_SENDMSG, slot, order);
    entry->addr = (uint64_t)(uintptr_t)message;
    entry->len = 1;
    // With MSG_WAITALL the kernel goes on by itself until everything is sent.
    entry->msg_flags = MSG_WAITALL | MSG_NOSIGNAL;
}

void spillway_ring_receive(
    struct spillway_ring *ring, unsigned tag, unsigned slot, void *target, unsigned count, int order) {
    struct io_uring_sqe *entry = next_on(ring, tag, IORING_OP_RECV, slot, order);
    entry->addr = (uint64_t)(uintptr_t)target;
    entry->len = count;
    entry->msg_flags = MSG_WAITALL;
}

void spillway_ring_open_file(struct spillway_ring *ring, unsigned tag, unsigned slot, const char *path, int order) {
    struct io_uring_sqe *entry = next(ring, tag, IORING_OP_OPENAT, order);
    entry->fd = AT_FDCWD;
    entry->addr = (uint64_t)(uintptr_t)path;
    entry->open_flags = O_RDONLY;
    entry->file_index = slot + 1;
}

void spillway_ring_read(
    struct spillway_ring *ring, unsigned tag, unsigned slot, void *target, unsigned count, int order) {
    struct io_uring_sqe *entry = next_on(ring, tag, IORING_OP_READ, slot, order);
    entry->addr = (uint64_t)(uintptr_t)target;
    entry->len = count;
}

void spillway_ring_look(struct spillway_ring *ring, unsigned tag, const char *path, void *target, int order) {
    struct io_uring_sqe *entry = next(ring, tag, IORING_OP_STATX, order);
    entry->fd = AT_FDCWD;
    entry->addr = (uint64_t)(uintptr_t)path;
    entry->len = STATX_BASIC_STATS;
    entry->off = (uint64_t)(uintptr_t)target;
}

void spillway_ring_barrier(struct spillway_ring *ring, unsigned tag) {
    next(ring, tag, IORING_OP_NOP, SPILLWAY_RING_ALONE)->flags |= IOSQE_IO_DRAIN;
}

// Takes results out of the shared memory; how many.
static unsigned collect(struct spillway_ring *ring) {
    unsigned head = *ring->done_head, tail = __atomic_load_n(ring->done_tail, __ATOMIC_ACQUIRE);
    for (unsigned place = head; place != tail; place++) {
        const struct io_uring_cqe *one = &ring->done[place & *ring->done_mask];
        if (one->user_data < ring->operations) ring->results[one->user_data] = one->res;
    }
    __atomic_store_n(ring->done_head, tail, __ATOMIC_RELEASE);
    return tail - head;
}

int spillway_ring_run(struct spillway_ring *ring, uint64_t nanoseconds) {
    unsigned submit = ring->prepared, wanted = ring->prepared;
    ring->prepared = 0;
    __atomic_store_n(ring->submit_tail, *ring->submit_tail + submit, __ATOMIC_RELEASE);
    struct __kernel_timespec span = {
        .tv_sec = (int64_t)(nanoseconds / 1000000000), .tv_nsec = (int64_t)(nanoseconds % 1000000000)};
    struct io_uring_getevents_arg more = {.ts = (uint64_t)(uintptr_t)&span};
    while (wanted > 0) {
        long status = syscall(
            SYS_io_uring_enter, ring->descriptor, submit, wanted, IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, &more,
            sizeof more);
        if (status >= 0) submit -= (unsigned)status < submit ? (unsigned)status : submit;
        int code = status < 0 ? errno : 0;
        unsigned count = collect(ring);
        wanted -= count < wanted ? count : wanted;
        if (code != 0 && code != EINTR && wanted > 0) return -code;
    }
    return 0;
}

int32_t spillway_ring_result(const struct spillway_ring *ring, unsigned tag) { return ring->results[tag]; }

size_t spillway_look_bytes(void) { return sizeof(struct statx); }

struct spillway_look spillway_look_at(const void *bytes) {
    struct statx found;
    memcpy(&found, bytes, sizeof found);
    struct spillway_look look = {
        .size = found.stx_size,
        .inode = found.stx_ino,
        .device = makedev(found.stx_dev_major, found.stx_dev_minor),
        .modified = found.stx_mtime.tv_sec * 1000000000LL + found.stx_mtime.tv_nsec,
        .changed = found.stx_ctime.tv_sec * 1000000000LL + found.stx_ctime.tv_nsec,
        .mode = found.stx_mode,
    };
    return look;
}
