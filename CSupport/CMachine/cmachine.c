#define _GNU_SOURCE
#include "cmachine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

// ---- memory -----------------------------------------------------------------------------------------------------

void *spillway_map_anonymous(size_t length, int huge_shift) {
    int flags = MAP_PRIVATE | MAP_ANONYMOUS;
    if (huge_shift != 0) flags |= MAP_HUGETLB | (huge_shift << MAP_HUGE_SHIFT);
    void *address = mmap(NULL, length, PROT_READ | PROT_WRITE, flags, -1, 0);
    return address == MAP_FAILED ? NULL : address;
}

void *spillway_map_mirrored(size_t length) {
    int descriptor = memfd_create("spillway-ring", MFD_CLOEXEC);
    if (descriptor < 0) return NULL;
    void *result = NULL;
    char *address = MAP_FAILED;
    if (ftruncate(descriptor, (off_t)length) == 0)
        address = mmap(NULL, 2 * length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (address != MAP_FAILED) {
        int flags = MAP_SHARED | MAP_FIXED;
        void *first = mmap(address, length, PROT_READ | PROT_WRITE, flags, descriptor, 0);
        void *second = mmap(address + length, length, PROT_READ | PROT_WRITE, flags, descriptor, 0);
        if (first != MAP_FAILED && second != MAP_FAILED) result = address;
        else munmap(address, 2 * length);
    }
    int saved = errno;
    close(descriptor);
    errno = saved;
    return result;
}

// ---- threads ----------------------------------------------------------------------------------------------------

int spillway_pin_self(const uint64_t *cpu_bits, size_t words) {
    cpu_set_t set;
    CPU_ZERO(&set);
    for (size_t cpu = 0; cpu < words * 64 && cpu < CPU_SETSIZE; cpu++)
        if (cpu_bits[cpu / 64] >> (cpu % 64) & 1) CPU_SET(cpu, &set);
    return pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

int spillway_affinity(uint64_t *cpu_bits, size_t words) {
    cpu_set_t set;
    int status = pthread_getaffinity_np(pthread_self(), sizeof set, &set);
    if (status != 0) return status;
    memset(cpu_bits, 0, words * 8);
    for (size_t cpu = 0; cpu < words * 64 && cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &set)) cpu_bits[cpu / 64] |= 1ull << (cpu % 64);
    return 0;
}

void spillway_name_self(const char *name) {
    char short_name[16];
    strncpy(short_name, name, sizeof short_name - 1);
    short_name[sizeof short_name - 1] = 0;
    pthread_setname_np(pthread_self(), short_name);
}

int spillway_thread_start(uint64_t *thread, void *(*body)(void *), void *context) {
    // Signals belong to the control thread's signalfd, so every other thread is born with all of them blocked.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    pthread_t handle;
    int status = pthread_create(&handle, NULL, body, context);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (status == 0) *thread = (uint64_t)handle;
    return status;
}

int spillway_thread_join(uint64_t thread) { return pthread_join((pthread_t)thread, NULL); }

// ---- files and sockets -------------------------------------------------------------------------------------------

void spillway_event_signal(int descriptor) {
    uint64_t one = 1;
    ssize_t ignored = write(descriptor, &one, sizeof one);
    (void)ignored;
}

void spillway_event_drain(int descriptor) {
    uint64_t count;
    ssize_t ignored = read(descriptor, &count, sizeof count);
    (void)ignored;
}

void spillway_close(int descriptor) { close(descriptor); }

long spillway_send_vector(int socket, const struct iovec *vector, int count) {
    struct msghdr message = {.msg_iov = (struct iovec *)vector, .msg_iovlen = (size_t)count};
    for (;;) {
        ssize_t sent = sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent >= 0) return sent;
        if (errno != EINTR) return -(long)errno;
    }
}

long spillway_receive(int socket, void *buffer, size_t length) {
    for (;;) {
        ssize_t received = recv(socket, buffer, length, MSG_DONTWAIT);
        if (received >= 0) return received;
        if (errno != EINTR) return -(long)errno;
    }
}

long spillway_unacknowledged(int socket) {
    int bytes = 0;
    if (ioctl(socket, SIOCOUTQ, &bytes) != 0) return -(long)errno;
    return bytes;
}

int spillway_accept(int socket) {
    int connection = accept4(socket, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    return connection >= 0 ? connection : -errno;
}

int spillway_tcp_notsent_lowat(void) { return TCP_NOTSENT_LOWAT; }
int spillway_tcp_user_timeout(void) { return TCP_USER_TIMEOUT; }

// ---- files -------------------------------------------------------------------------------------------------------

int spillway_rename_new(int from_directory, const char *from, int to_directory, const char *to) {
    if (renameat2(from_directory, from, to_directory, to, RENAME_NOREPLACE) == 0) return 0;
    if (errno != EINVAL) return -errno;
    struct stat status;
    if (fstatat(to_directory, to, &status, AT_SYMLINK_NOFOLLOW) == 0) return -EEXIST;
    return renameat(from_directory, from, to_directory, to) == 0 ? 0 : -errno;
}

int spillway_open_at(int directory, const char *path, int flags, unsigned mode) {
    int descriptor = openat(directory, path, flags, (mode_t)mode);
    return descriptor >= 0 ? descriptor : -errno;
}

int spillway_replace_descriptor(int old, int new) { return dup3(new, old, O_CLOEXEC) < 0 ? -errno : 0; }

int spillway_open_beneath(int directory, const char *path, int flags, unsigned mode, int follows_links) {
    struct open_how how = {
        .flags = (uint64_t)(unsigned)flags,
        .mode = flags & O_CREAT ? mode : 0,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | (follows_links ? 0 : RESOLVE_NO_SYMLINKS),
    };
    for (int tries = 0;; tries++) {
        long descriptor = syscall(SYS_openat2, directory, path, &how, sizeof how);
        if (descriptor >= 0) return (int)descriptor;
        // Somebody renamed something at the same moment, and the kernel could not be sure (openat2(2)).
        if (errno != EINTR && (errno != EAGAIN || tries >= 100)) return -errno;
    }
}

int spillway_reserve(int descriptor, long start, long length) {
    return fallocate(descriptor, FALLOC_FL_KEEP_SIZE, start, length) == 0 ? 0 : -errno;
}

int spillway_set_direct(int descriptor, int is_direct) {
    int flags = fcntl(descriptor, F_GETFL);
    if (flags < 0) return -errno;
    flags = is_direct ? flags | O_DIRECT : flags & ~O_DIRECT;
    return fcntl(descriptor, F_SETFL, flags) == 0 ? 0 : -errno;
}

// ---- crash points ------------------------------------------------------------------------------------------------

int spillway_crash_armed = 0;
static atomic_int crash_count = 0;

void spillway_crash_arm(int point, int count) {
    atomic_store(&crash_count, count);
    spillway_crash_armed = point;
}

void spillway_crash_reached(void) {
    if (atomic_fetch_sub(&crash_count, 1) == 1) kill(getpid(), SIGKILL);
}
