// The sink of `tools/bench replay`, and its reference.
//
//   replay_sink [--bytes N] [--idle MS] [--capture FILE] [--hold MS] [--cpu N] -- COMMAND...
//       runs a sender, in whose words @PORT@ becomes the sink's port, and throws away what it sends
//   replay_sink --get PATH --port N --cpu-of PID... [--cpu N]
//       throws away what an HTTP server sends
//   replay_sink send FILE PORT
//       the reference: a bare sendfile(2) loop
//
// The sink ends when it has so many bytes, when nothing has come for a while, or at the end of the stream. It does not
// copy what it throws away (MSG_TRUNC, tcp(7)), so that the sender is what is measured. Standard input of the sender is a
// capture, of one packet unless it is given, that goes on until the sink has all. With --hold the sink does not read at first.
//
// Prints: bytes; seconds from the first byte to the last; cpu_seconds of the sender from its connection until the sink is done;
// connect_seconds from the sender's start to its connection; resident_kib, its resident memory at the end; thread_NAME,
// the part of cpu_seconds that threads of this name have.
//
// After --hold the sender must have come to rest before anything is read: what it does for spilling is no part of replay.

#include "bench.h"
#include "threads.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { AT_ONCE = 1 << 20, START_MILLISECONDS = 60000, CLOCKS_MAX = 64 };

/// A classic pcap file in the byte order of x86: microseconds, version 2.4, Ethernet, and a frame of 60 zeros.
static const uint32_t small_capture[6 + 4 + 15] = {0xa1b2c3d4, 4 << 16 | 2, 0, 0, 262144, 1, 1700000000, 0, 60, 60};

static struct sockaddr_in loopback(uint16_t port) {
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
}

static int connected(uint16_t port) {
    struct sockaddr_in address = loopback(port);
    int socket_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(socket_, (struct sockaddr *)&address, sizeof address) != 0)
        fail(71, "connect: %s", strerror(errno));
    return socket_;
}

static int send_file(const char *path, uint16_t port) {
    int file = open(path, O_RDONLY | O_CLOEXEC), to = connected(port);
    struct stat status;
    if (file < 0 || fstat(file, &status) != 0)
        fail(66, "%s: %s", path, strerror(errno));
    for (off_t place = 0; place < status.st_size;)
        if (sendfile(to, file, &place, (size_t)(status.st_size - place)) <= 0)
            fail(74, "sendfile: %s", strerror(errno));
    return 0;
}

/// Keeps the pipe filled with the capture, and then open, until it is killed.
static pid_t feed(const char *path, int pipe_) {
    pid_t process = fork();
    if (process != 0)
        return process;
    if (path) {
        static uint8_t buffer[AT_ONCE];
        int file = open(path, O_RDONLY | O_CLOEXEC);
        for (ssize_t count; (count = read(file, buffer, sizeof buffer)) > 0;)
            for (ssize_t done = 0, step; done < count; done += step)
                if ((step = write(pipe_, buffer + done, (size_t)(count - done))) < 0)
                    fail(74, "pipe: %s", strerror(errno));
    } else if (write(pipe_, small_capture, sizeof small_capture) != sizeof small_capture) {
        fail(74, "pipe: %s", strerror(errno));
    }
    for (;;)
        pause();
}

/// A sender, and when it was started.
struct sender {
    pid_t process, feeder;
    int connection, clock_count;
    double started, connected;
    clockid_t clocks[CLOCKS_MAX];
};

static void add_clock(struct sender *sender, pid_t process) {
    int code = sender->clock_count == CLOCKS_MAX ? ENOSPC
                                                 : clock_getcpuclockid(process, &sender->clocks[sender->clock_count++]);
    if (code != 0)
        fail(71, "the clock of process %d: %s", process, strerror(code));
}

/// The processor time of the sender until now, all its threads together.
static double processor_seconds(const struct sender *sender) {
    double sum = 0;
    for (int place = 0; place < sender->clock_count; place++)
        sum += clock_seconds(sender->clocks[place]);
    return sum;
}

static struct sender start(char **command, const char *capture) {
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), pipe_[2];
    struct sockaddr_in address = loopback(0);
    socklen_t length = sizeof address;
    if (bind(listener, (struct sockaddr *)&address, length) != 0 || listen(listener, 1) != 0
        || getsockname(listener, (struct sockaddr *)&address, &length) != 0 || pipe2(pipe_, O_CLOEXEC) != 0)
        fail(71, "cannot listen: %s", strerror(errno));
    for (char **word = command; *word; word++) {
        char *place = strstr(*word, "@PORT@"), *text;
        if (!place)
            continue;
        if (asprintf(&text, "%.*s%d%s", (int)(place - *word), *word, ntohs(address.sin_port), place + 6) < 0)
            fail(71, "no memory");
        *word = text;
    }
    struct sender sender = {.feeder = feed(capture, pipe_[1]), .started = wall_seconds()};
    close(pipe_[1]);
    sender.process = fork();
    if (sender.process == 0) {
        dup2(pipe_[0], STDIN_FILENO);
        dup2(STDERR_FILENO, STDOUT_FILENO);
        execvp(command[0], command);
        fail(70, "%s: %s", command[0], strerror(errno));
    }
    close(pipe_[0]);
    add_clock(&sender, sender.process);
    struct pollfd entry = {.fd = listener, .events = POLLIN};
    if (poll(&entry, 1, START_MILLISECONDS) != 1) {
        kill(sender.process, SIGKILL);
        fail(69, "no sender has come");
    }
    sender.connection = accept(listener, NULL, NULL);
    sender.connected = wall_seconds();
    close(listener);
    return sender;
}

static void ask(struct sender *sender, const char *path, uint16_t port) {
    sender->started = wall_seconds();
    sender->connection = connected(port);
    sender->connected = wall_seconds();
    dprintf(sender->connection, "GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n", path);
}

struct figures {
    uint64_t bytes;
    double seconds, processor;
};

/// The sender's threads, whose processor time counts from the start of reading.
static struct threads threads;

static struct figures throw_away(const struct sender *sender, uint64_t most, int idle) {
    static uint8_t room[AT_ONCE];
    struct figures figures = {0};
    struct pollfd entry = {.fd = sender->connection, .events = POLLIN};
    look(sender->process, &threads);
    start_from_here(&threads);
    double before = processor_seconds(sender), first = 0;
    while (figures.bytes < most && poll(&entry, 1, figures.bytes == 0 ? START_MILLISECONDS : idle) == 1) {
        ssize_t count = recv(sender->connection, room, sizeof room, MSG_TRUNC | MSG_DONTWAIT);
        if (count < 0 && errno == EAGAIN)
            continue;
        if (count <= 0)
            break;
        double now = wall_seconds();
        if (figures.bytes == 0)
            first = now;
        figures.bytes += (uint64_t)count;
        figures.seconds = now - first;
    }
    // A sender that has ended is not waited for yet, so that its clock can still be read.
    figures.processor = processor_seconds(sender) - before;
    look(sender->process, &threads);
    return figures;
}

/// Waits until the sender needs no more than a tenth of a CPU; a minute at most.
static void wait_for_rest(const struct sender *sender) {
    double before = processor_seconds(sender);
    for (int tries = 0; tries < 300; tries++) {
        usleep(200000);
        double now = processor_seconds(sender);
        if (now - before < 0.02)
            return;
        before = now;
    }
    fail(70, "the sender does not come to rest");
}

static void print_resident(pid_t process) {
    char path[64], line[256];
    snprintf(path, sizeof path, "/proc/%d/status", process);
    FILE *file = fopen(path, "re");
    unsigned long long kib;
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "VmRSS: %llu", &kib) == 1)
            report_count("resident_kib", kib, "KiB");
    if (file)
        fclose(file);
}

/// Ends the sender; its status.
static int end(const struct sender *sender) {
    if (sender->process == 0)
        return 0;
    int status;
    kill(sender->feeder, SIGKILL);
    while (recv(sender->connection, NULL, AT_ONCE, MSG_TRUNC) > 0) {}
    close(sender->connection);
    waitpid(sender->feeder, NULL, 0);
    waitpid(sender->process, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 70;
}

int main(int count, char **words) {
    if (count == 4 && strcmp(words[1], "send") == 0)
        return send_file(words[2], (uint16_t)number("PORT", words[3], 1, 65535));
    uint64_t bytes = UINT64_MAX, port = 0;
    struct sender sender = {0};
    int idle = 500, hold = 0, cpu = -1;
    const char *path = NULL, *capture = NULL;
    const struct option options[] = {{"bytes", 1, NULL, 'b'}, {"idle", 1, NULL, 'i'}, {"get", 1, NULL, 'g'},
                                     {"port", 1, NULL, 'p'}, {"cpu", 1, NULL, 'u'}, {"capture", 1, NULL, 'f'}, {"hold", 1, NULL, 'h'},
                                     {"cpu-of", 1, NULL, 'c'}, {0}};
    for (int option; (option = getopt_long(count, words, "+", options, NULL)) != -1;) {
        switch (option) {
        case 'b': bytes = number("bytes", optarg, 1, UINT64_MAX); break;
        case 'i': idle = (int)number("idle", optarg, 1, 60000); break;
        case 'f': capture = optarg; break;
        case 'u': cpu = (int)number("cpu", optarg, 0, 1023); break;
        case 'h': hold = (int)number("hold", optarg, 1, 600000); break;
        case 'g': path = optarg; break;
        case 'p': port = number("port", optarg, 1, 65535); break;
        case 'c': add_clock(&sender, (pid_t)number("cpu-of", optarg, 1, INT32_MAX)); break;
        default: fail(EXIT_USAGE, "usage: see the head of replay_sink.c");
        }
    }
    if (path ? !port || sender.clock_count == 0 : optind >= count)
        fail(EXIT_USAGE, "usage: see the head of replay_sink.c");
    if (path)
        ask(&sender, path, (uint16_t)port);
    else
        sender = start(words + optind, capture);
    // Only now, so that the sender runs where it likes.
    if (cpu >= 0)
        pin(cpu);
    if (hold > 0) {
        usleep((useconds_t)hold * 1000);
        wait_for_rest(&sender);
    }
    struct figures figures = throw_away(&sender, bytes, idle);
    report_count("bytes", figures.bytes, "bytes");
    report("seconds", figures.seconds, "s");
    report("cpu_seconds", figures.processor, "s");
    report("connect_seconds", sender.connected - sender.started, "s");
    if (!path) {
        print_threads(&threads);
        print_resident(sender.process);
    }
    return end(&sender);
}
