// Interposes the allocator for the whole process, the Swift runtime included, and counts calls by thread. The work is
// still done by glibc, under its internal names.
#define _GNU_SOURCE
#include "allocation_counter.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

#define THREADS 1024

static struct {
    _Atomic long count;
    _Atomic int thread;
} slots[THREADS];
static _Atomic int used;
static __thread int mine = -1;

static void count(void) {
    if (mine < 0) {
        int slot = atomic_fetch_add(&used, 1);
        if (slot >= THREADS) return;
        atomic_store(&slots[slot].thread, (int)syscall(SYS_gettid));
        mine = slot;
    }
    atomic_fetch_add_explicit(&slots[mine].count, 1, memory_order_relaxed);
}

void *malloc(size_t size) {
    count();
    return __libc_malloc(size);
}

void *calloc(size_t count_of, size_t size) {
    count();
    return __libc_calloc(count_of, size);
}

void *realloc(void *old, size_t size) {
    count();
    return __libc_realloc(old, size);
}

void *aligned_alloc(size_t alignment, size_t size) {
    count();
    return __libc_memalign(alignment, size);
}

void *memalign(size_t alignment, size_t size) {
    count();
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **result, size_t alignment, size_t size) {
    count();
    void *memory = __libc_memalign(alignment, size);
    if (memory == NULL) return ENOMEM;
    *result = memory;
    return 0;
}

long spillway_allocations_of(const char *thread_name) {
    long total = -1;
    int known = atomic_load(&used);
    for (int slot = 0; slot < known && slot < THREADS; slot++) {
        char path[64], name[32];
        snprintf(path, sizeof path, "/proc/self/task/%d/comm", atomic_load(&slots[slot].thread));
        int file = open(path, O_RDONLY | O_CLOEXEC);
        if (file < 0) continue;
        ssize_t length = read(file, name, sizeof name - 1);
        close(file);
        if (length <= 0) continue;
        name[length - 1] = 0;
        if (strcmp(name, thread_name) == 0) total = (total < 0 ? 0 : total) + atomic_load(&slots[slot].count);
    }
    return total;
}
