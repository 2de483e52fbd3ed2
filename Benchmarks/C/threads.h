// The processor time of another process's threads, by their names.

#ifndef SPILLWAY_BENCH_THREADS_H
#define SPILLWAY_BENCH_THREADS_H

#include "bench.h"

#include <dirent.h>
#include <stdbool.h>
#include <sys/types.h>

enum { PATH_BYTES = 4096, NAME_BYTES = 32, THREADS_MAX = 256 };

/// A thread that was seen; what it had used when it was last seen is what counts once it has ended.
struct thread {
    int id;
    char name[NAME_BYTES];
    double seconds, before;
};

struct threads {
    struct thread all[THREADS_MAX];
    int count;
};

static inline bool read_line(const char *path, char *line, int bytes) {
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    bool is_there = fgets(line, bytes, file) != NULL;
    fclose(file);
    return is_there;
}

static inline struct thread *find_thread(struct threads *threads, int id) {
    for (int place = 0; place < threads->count; place++)
        if (threads->all[place].id == id)
            return &threads->all[place];
    if (threads->count == THREADS_MAX)
        fail(70, "more than %d threads", THREADS_MAX);
    threads->all[threads->count] = (struct thread){.id = id};
    return &threads->all[threads->count++];
}

/// The first number of schedstat is the time on a CPU in nanoseconds (Documentation/scheduler/sched-stats.rst).
static inline void look(pid_t process, struct threads *threads) {
    char path[PATH_BYTES], line[256];
    snprintf(path, sizeof path, "/proc/%d/task", process);
    DIR *directory = opendir(path);
    if (!directory)
        return;
    for (struct dirent *entry; (entry = readdir(directory));) {
        int id = atoi(entry->d_name);
        if (id == 0)
            continue;
        struct thread *thread = find_thread(threads, id);
        snprintf(path, sizeof path, "/proc/%d/task/%d/schedstat", process, id);
        if (read_line(path, line, sizeof line))
            thread->seconds = (double)strtoull(line, NULL, 10) * 1e-9;
        snprintf(path, sizeof path, "/proc/%d/task/%d/comm", process, id);
        if (read_line(path, line, sizeof line))
            sscanf(line, "%31s", thread->name);
    }
    closedir(directory);
}

/// What was used until now does not count.
static inline void start_from_here(struct threads *threads) {
    for (int place = 0; place < threads->count; place++)
        threads->all[place].before = threads->all[place].seconds;
}

/// One line "thread_NAME seconds s" for all threads of a name together.
static inline void print_threads(const struct threads *threads) {
    for (int place = 0; place < threads->count; place++) {
        const struct thread *thread = &threads->all[place];
        double sum = 0;
        bool is_first = true;
        for (int other = 0; other < threads->count; other++) {
            if (strcmp(threads->all[other].name, thread->name) != 0)
                continue;
            sum += threads->all[other].seconds - threads->all[other].before;
            is_first = is_first && other >= place;
        }
        if (is_first)
            printf("thread_%s %.6f s\n", thread->name, sum);
    }
}

#endif
