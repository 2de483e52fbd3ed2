// The reference of `tools/bench send`: one file to N receivers by N bare sendfile(2) loops, and what a command costs.
//
//   fanout FILE DIRECTORY N     N processes receive (read, write) while N processes send; prints what it took
//   fanout run COMMAND...       runs a command and prints what it took
//
// Prints: seconds, and for all processes together cpu_seconds, voluntary and involuntary (context switches).

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { RECEIVERS_MAX = 64, BUFFER = 256 << 10 };

static void die(const char *what) {
    perror(what);
    exit(70);
}

static double seconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void receive(int listener, const char *path) {
    static char buffer[BUFFER];
    int from = accept(listener, NULL, NULL), to = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (from < 0 || to < 0) die(path);
    ssize_t count;
    while ((count = read(from, buffer, sizeof buffer)) > 0)
        if (write(to, buffer, (size_t)count) != count) die("write");
    if (count < 0 || close(to) != 0) die("read");
}

static void send_all(const char *path, struct sockaddr_in address) {
    int file = open(path, O_RDONLY), to = socket(AF_INET, SOCK_STREAM, 0);
    struct stat status;
    if (file < 0 || to < 0 || fstat(file, &status) != 0) die(path);
    if (connect(to, (struct sockaddr *)&address, sizeof address) != 0) die("connect");
    for (off_t place = 0; place < status.st_size;)
        if (sendfile(to, file, &place, (size_t)(status.st_size - place)) <= 0) die("sendfile");
}

static void wait_for_all(void) {
    int status;
    while (wait(&status) > 0)
        if (status != 0) exit(70);
}

static void print(double start) {
    double end = seconds_now();
    struct rusage usage;
    getrusage(RUSAGE_CHILDREN, &usage);
    double cpu = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec)
        + (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    fprintf(stderr, "seconds %.6f s\ncpu_seconds %.6f s\nvoluntary %ld switches\ninvoluntary %ld switches\n", end - start, cpu,
        usage.ru_nvcsw, usage.ru_nivcsw);
}

int main(int count, char **words) {
    if (count > 2 && strcmp(words[1], "run") == 0) {
        double start = seconds_now();
        if (fork() == 0) {
            execvp(words[2], words + 2);
            die(words[2]);
        }
        wait_for_all();
        print(start);
        return 0;
    }
    int peers = count == 4 ? atoi(words[3]) : 0;
    if (peers < 1 || peers > RECEIVERS_MAX) {
        fprintf(stderr, "usage: fanout FILE DIRECTORY N | fanout run COMMAND...\n");
        return 64;
    }
    struct sockaddr_in addresses[RECEIVERS_MAX];
    for (int peer = 0; peer < peers; peer++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%d", words[2], peer);
        addresses[peer] = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
        socklen_t length = sizeof addresses[peer];
        int listener = socket(AF_INET, SOCK_STREAM, 0);
        if (bind(listener, (struct sockaddr *)&addresses[peer], length) != 0 || listen(listener, 1) != 0) die("listen");
        getsockname(listener, (struct sockaddr *)&addresses[peer], &length);
        if (fork() == 0) {
            receive(listener, path);
            _exit(0);
        }
        close(listener);
    }
    double start = seconds_now();
    for (int peer = 0; peer < peers; peer++)
        if (fork() == 0) {
            send_all(words[1], addresses[peer]);
            _exit(0);
        }
    wait_for_all();
    print(start);
    return 0;
}
