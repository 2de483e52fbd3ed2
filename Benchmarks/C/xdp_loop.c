// The references for capture: a loop over libxdp that receives on one queue and copies each packet into a buffer, the same
// with the encoding and the checksums of encoder.h, and a program that drops and counts, which no receiver can beat.
//
// It prints "ready" once packets arrive, and its report when it gets SIGTERM or after --duration. All waiting is in the
// thread's processor time: with --wait poll it calls poll(2) whenever the ring is empty, with --wait N it sleeps N
// microseconds.

#include "encoder.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <getopt.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>
#include <xdp/xsk.h>

enum { BURST = 64, FRAME = 2048, STAMP = 8 };
enum work { COPY, ENCODE, DROP };

struct receiver {
    struct xsk_ring_cons receive, completion;
    struct xsk_ring_prod fill;
    struct xsk_socket *socket;
    struct xsk_umem *memory;
    uint8_t *frames;
};

static volatile sig_atomic_t is_over;

static void end(int signal) {
    (void)signal;
    is_over = 1;
}

static int say_nothing(enum libbpf_print_level level, const char *format, va_list arguments) {
    (void)level, (void)format, (void)arguments;
    return 0;
}

/// Opens a socket on queue 0 with all frames in the fill ring.
static void open_receiver(struct receiver *r, const char *interface, uint32_t count) {
    bool reserved;
    r->frames = take_memory((size_t)count * FRAME, &reserved);
    const struct xsk_umem_config memory = {.fill_size = count, .comp_size = 64, .frame_size = FRAME};
    int status = xsk_umem__create(&r->memory, r->frames, (uint64_t)count * FRAME, &r->fill, &r->completion, &memory);
    if (status != 0)
        fail(71, "packet memory: %s", strerror(-status));
    uint32_t place;
    xsk_ring_prod__reserve(&r->fill, count, &place);
    for (uint32_t i = 0; i < count; i++)
        *xsk_ring_prod__fill_addr(&r->fill, place + i) = (uint64_t)i * FRAME;
    xsk_ring_prod__submit(&r->fill, count);
    const struct xsk_socket_config socket = {
        .rx_size = count, .libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD, .bind_flags = XDP_COPY};
    // A queue is busy for a moment after its last socket was closed.
    for (int try = 0; try < 100; try++) {
        status = xsk_socket__create(&r->socket, interface, 0, r->memory, &r->receive, NULL, &socket);
        if (status != -EBUSY)
            break;
        usleep(20000);
    }
    if (status != 0)
        fail(71, "socket on %s: %s", interface, strerror(-status));
}

struct loop {
    uint64_t packets, waits;
};

static inline void take(enum work work, struct encoder *e, uint64_t arrival, uint8_t *bytes, uint32_t length) {
    if (work == ENCODE) {
        uint64_t stamp;
        memcpy(&stamp, bytes - STAMP, sizeof stamp);
        append(e, stamp, arrival, bytes, length);
        return;
    }
    // One packet after the other, round and round through the same memory as the encoder's.
    if (e->cursor + length > e->limit)
        e->cursor = e->segments;
    memcpy(e->cursor, bytes, length);
    e->cursor += length;
}

static inline bool burst(enum work work, struct receiver *r, struct encoder *e, struct loop *loop) {
    uint32_t from, to;
    const uint32_t count = xsk_ring_cons__peek(&r->receive, BURST, &from);
    if (count == 0)
        return false;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    const uint64_t arrival = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    // There are as many places in the fill ring as frames.
    xsk_ring_prod__reserve(&r->fill, count, &to);
    for (uint32_t i = 0; i < count; i++) {
        const struct xdp_desc *packet = xsk_ring_cons__rx_desc(&r->receive, from + i);
        take(work, e, arrival, r->frames + packet->addr, packet->len);
        *xsk_ring_prod__fill_addr(&r->fill, to + i) = packet->addr & ~(uint64_t)(FRAME - 1);
    }
    xsk_ring_cons__release(&r->receive, count);
    xsk_ring_prod__submit(&r->fill, count);
    loop->packets += count;
    return true;
}

static inline void run(enum work work, struct receiver *r, struct encoder *e, long nap, struct loop *loop) {
    struct pollfd descriptor = {.fd = xsk_socket__fd(r->socket), .events = POLLIN};
    const struct timespec span = {.tv_nsec = nap};
    while (!is_over) {
        if (burst(work, r, e, loop))
            continue;
        loop->waits++;
        if (nap)
            nanosleep(&span, NULL);
        else
            poll(&descriptor, 1, 100);
    }
    // What arrived before the end.
    while (burst(work, r, e, loop)) {}
}

__attribute__((noinline)) static void run_copy(struct receiver *r, struct encoder *e, long nap, struct loop *loop) {
    run(COPY, r, e, nap, loop);
}

__attribute__((noinline)) static void run_encode(struct receiver *r, struct encoder *e, long nap, struct loop *loop) {
    run(ENCODE, r, e, nap, loop);
    close_batch(e);
}

/// What the program counted, over all processors.
static uint64_t seen(struct bpf_object *object) {
    const int processors = libbpf_num_possible_cpus();
    uint64_t *counts = calloc((size_t)processors, sizeof *counts), sum = 0;
    const uint32_t place = 0;
    bpf_map_lookup_elem(bpf_object__find_map_fd_by_name(object, "seen"), &place, counts);
    for (int i = 0; i < processors; i++)
        sum += counts[i];
    free(counts);
    return sum;
}

int main(int count, char **arguments) {
    const char *interface = NULL, *object_path = NULL;
    enum work work = COPY;
    uint64_t frames = 4096, segments = 64, duration = 0;
    long nap = 0;
    int cpu = -1;
    const struct option options[] = {{"interface", 1, NULL, 'i'}, {"object", 1, NULL, 'o'}, {"work", 1, NULL, 'w'},
                                     {"frames", 1, NULL, 'f'}, {"segments", 1, NULL, 'g'}, {"wait", 1, NULL, 'n'},
                                     {"duration", 1, NULL, 'd'}, {"cpu", 1, NULL, 'c'}, {0}};
    for (int option; (option = getopt_long(count, arguments, "", options, NULL)) != -1;) {
        switch (option) {
        case 'i': interface = optarg; break;
        case 'o': object_path = optarg; break;
        case 'w': work = *optarg == 'e' ? ENCODE : *optarg == 'd' ? DROP : COPY; break;
        case 'f': frames = number("frames", optarg, 64, 1 << 20); break;
        case 'g': segments = number("segments", optarg, 1, 1 << 16); break;
        case 'n': nap = strcmp(optarg, "poll") ? 1000 * (long)number("wait", optarg, 1, 999999) : 0; break;
        case 'd': duration = number("duration", optarg, 1, 3600); break;
        case 'c': cpu = (int)number("cpu", optarg, 0, CPU_SETSIZE - 1); break;
        default: interface = NULL; optind = count;
        }
    }
    if (!interface || !object_path)
        fail(EXIT_USAGE, "usage: xdp_loop --interface NAME --object FILE [--work copy|encode|drop] [--frames N]"
                         " [--segments N] [--wait poll|MICROSECONDS] [--duration SECONDS] [--cpu N]");
    if (cpu >= 0)
        pin(cpu);
    const struct sigaction action = {.sa_handler = end};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGALRM, &action, NULL);

    libbpf_set_print(say_nothing);
    struct bpf_object *object = bpf_object__open_file(object_path, NULL);
    if (!object || bpf_object__load(object) != 0)
        fail(71, "cannot load %s", object_path);
    const char *name = work == DROP ? "reference_drop" : "reference_redirect";
    const int program = bpf_program__fd(bpf_object__find_program_by_name(object, name));
    const int index = (int)if_nametoindex(interface);
    if (index == 0)
        fail(66, "no interface %s", interface);
    struct receiver r = {0};
    struct encoder e = {.segment_size = 2 << 20, .segment_count = segments, .batch_size = 64 << 10, .with_crc = true,
                        .least_time = UINT64_MAX, .run = {1, 2}};
    if (work != DROP) {
        bool reserved;
        e.cursor = e.segments = take_memory(segments * e.segment_size, &reserved);
        e.limit = e.segments + segments * e.segment_size;
        if (work == ENCODE)
            open_batch(&e, BLOCK_OVERHEAD);
        open_receiver(&r, interface, (uint32_t)frames);
        const uint32_t queue = 0;
        const int socket = xsk_socket__fd(r.socket);
        if (bpf_map_update_elem(bpf_object__find_map_fd_by_name(object, "sockets"), &queue, &socket, 0) != 0)
            fail(71, "the program does not take the socket");
    }
    const uint32_t flags = XDP_FLAGS_UPDATE_IF_NOEXIST | XDP_FLAGS_DRV_MODE;
    const int status = bpf_xdp_attach(index, program, flags, NULL);
    if (status != 0)
        fail(71, "cannot attach to %s: %s", interface, strerror(-status));
    printf("ready\n");
    fflush(stdout);
    alarm((unsigned)duration);

    struct loop loop = {0};
    const double thread = thread_seconds();
    if (work == COPY)
        run_copy(&r, &e, nap, &loop);
    else if (work == ENCODE)
        run_encode(&r, &e, nap, &loop);
    else
        while (!is_over)
            usleep(10000);
    const double used = thread_seconds() - thread;
    bpf_xdp_detach(index, XDP_FLAGS_DRV_MODE, NULL);
    const uint64_t arrived = seen(object);
    if (work == DROP)
        loop.packets = arrived;
    report_count("packets", loop.packets, "packets");
    report_count("lost", arrived - loop.packets, "packets");
    report_count("waits", loop.waits, "waits");
    report("cpu_ns_per_packet", used * 1e9 / (double)(loop.packets ? loop.packets : 1), "ns");
    return 0;
}
