// The reference of `tools/bench spill`, and what looks at the program beside it.
//
//   spill_reference write --directory DIR --bytes N [--file-bytes N] [--memory N] [--chunk N]
//       writes N bytes by a plain pwrite(2) loop into preallocated files and removes them
//   spill_reference threads COMMAND...
//       runs a command and prints the processor time of its threads, by name, and of all of it
//   spill_reference stall
//       accepts one connection on loopback and never reads from it
//
// The loop goes round memory of its own that is as large as a relay's, so that its bytes come from no warmer place.

#include "bench.h"
#include "threads.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LOOK_MICROSECONDS = 5000 };

// ---- the loop -------------------------------------------------------------------------------------------------------

struct plan {
    const char *directory;
    uint64_t bytes, file_bytes, memory, chunk;
};

static uint8_t *make_memory(uint64_t bytes) {
    uint8_t *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        fail(71, "no memory: %s", strerror(errno));
    madvise(memory, bytes, MADV_HUGEPAGE);
    for (uint64_t place = 0; place < bytes; place += sizeof(uint64_t))
        *(uint64_t *)(memory + place) = place * 31;
    return memory;
}

static int make_file(const struct plan *plan, int file, uint64_t bytes) {
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/reference.%d", plan->directory, file);
    int descriptor = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (descriptor < 0 || fallocate(descriptor, FALLOC_FL_KEEP_SIZE, 0, (off_t)bytes) != 0)
        fail(73, "%s: %s", path, strerror(errno));
    return descriptor;
}

static void remove_file(const struct plan *plan, int file) {
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/reference.%d", plan->directory, file);
    unlink(path);
}

/// Writes a file's bytes; returns where in memory the next ones are.
static uint64_t fill(const struct plan *plan, int descriptor, uint64_t bytes, const uint8_t *memory, uint64_t from) {
    for (uint64_t done = 0; done < bytes;) {
        uint64_t most = bytes - done < plan->chunk ? bytes - done : plan->chunk;
        ssize_t count = pwrite(descriptor, memory + from, most, (off_t)done);
        if (count <= 0)
            fail(74, "pwrite: %s", strerror(errno));
        done += (uint64_t)count;
        from = from + 2 * plan->chunk > plan->memory ? 0 : from + plan->chunk;
    }
    return from;
}

static void write_all(const struct plan *plan) {
    uint8_t *memory = make_memory(plan->memory);
    double all = 0, writing = 0, wall = wall_seconds();
    uint64_t from = 0, left = plan->bytes;
    int files = 0;
    for (; left > 0; files++) {
        uint64_t bytes = left < plan->file_bytes ? left : plan->file_bytes;
        double begun = thread_seconds();
        int descriptor = make_file(plan, files, bytes);
        double ready = thread_seconds();
        from = fill(plan, descriptor, bytes, memory, from);
        double full = thread_seconds();
        close(descriptor);
        writing += full - ready;
        all += thread_seconds() - begun;
        left -= bytes;
    }
    report("seconds", wall_seconds() - wall, "s");
    report("pwrite_cpu", writing, "s");
    report("all_cpu", all, "s");
    for (int file = 0; file < files; file++)
        remove_file(plan, file);
}

// ---- threads --------------------------------------------------------------------------------------------------------

static int watch_threads(char **command) {
    pid_t process = fork();
    if (process == 0) {
        execvp(command[0], command);
        fail(70, "%s: %s", command[0], strerror(errno));
    }
    static struct threads threads;
    int status;
    while (waitpid(process, &status, WNOHANG) == 0) {
        look(process, &threads);
        usleep(LOOK_MICROSECONDS);
    }
    print_threads(&threads);
    struct rusage usage;
    getrusage(RUSAGE_CHILDREN, &usage);
    report("process_cpu", (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec)
        + (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6, "s");
    return WIFEXITED(status) ? WEXITSTATUS(status) : 70;
}

// ---- a reader that does not read ------------------------------------------------------------------------------------

static void stall(void) {
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof address;
    if (bind(listener, (struct sockaddr *)&address, length) != 0 || listen(listener, 8) != 0
        || getsockname(listener, (struct sockaddr *)&address, &length) != 0)
        fail(71, "cannot listen: %s", strerror(errno));
    report_count("port", ntohs(address.sin_port), "port");
    fflush(stdout);
    while (accept(listener, NULL, NULL) >= 0) {}
}

int main(int count, char **words) {
    if (count == 2 && strcmp(words[1], "stall") == 0) {
        stall();
        return 0;
    }
    if (count > 2 && strcmp(words[1], "threads") == 0)
        return watch_threads(words + 2);
    struct plan plan = {.file_bytes = 256 << 20, .memory = 256 << 20, .chunk = 1 << 20};
    const struct option options[] = {{"directory", 1, NULL, 'd'}, {"bytes", 1, NULL, 'b'}, {"file-bytes", 1, NULL, 'f'},
                                     {"memory", 1, NULL, 'm'}, {"chunk", 1, NULL, 'c'}, {0}};
    // getopt_long moves words that are no options behind those that are.
    bool is_write = count > 1 && strcmp(words[1], "write") == 0;
    for (int option; (option = getopt_long(count, words, "", options, NULL)) != -1;) {
        switch (option) {
        case 'd': plan.directory = optarg; break;
        case 'b': plan.bytes = number("bytes", optarg, 1, UINT64_MAX); break;
        case 'f': plan.file_bytes = number("file-bytes", optarg, 4096, UINT64_MAX); break;
        case 'm': plan.memory = number("memory", optarg, 4 << 20, UINT64_MAX); break;
        case 'c': plan.chunk = number("chunk", optarg, 4096, 1 << 30); break;
        default: plan.directory = NULL; optind = count;
        }
    }
    if (!is_write || !plan.directory || plan.bytes == 0 || plan.memory < plan.chunk)
        fail(EXIT_USAGE, "usage: spill_reference write --directory DIR --bytes N [--file-bytes N] [--memory N] [--chunk N]"
                         " | threads COMMAND... | stall");
    write_all(&plan);
    return 0;
}
