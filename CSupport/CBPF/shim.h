// What Swift cannot say to libbpf: structures of options with a size, and a variadic callback. Every symbol is prefixed with
// `spillway_`.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/sched.h>
#include <net/if.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../../bpf/generator.h"

static inline int spillway_bpf_say_nothing(enum libbpf_print_level level, const char *format, va_list arguments) {
    (void)level, (void)format, (void)arguments;
    return 0;
}

/// Keeps libbpf from writing to standard error; what fails is told by its result.
static inline void spillway_bpf_be_quiet(void) { libbpf_set_print(spillway_bpf_say_nothing); }

/// Runs an XDP program over `repeat` live frames, `batch` at a time (Documentation/bpf/bpf_prog_run.rst). 0, or an errno.
static inline int spillway_bpf_live_frames(
    int program, const void *frame, uint32_t length, uint32_t repeat, uint32_t batch) {
    LIBBPF_OPTS(
        bpf_test_run_opts, options, .data_in = frame, .data_size_in = length, .repeat = (int)repeat,
        .flags = BPF_F_TEST_XDP_LIVE_FRAMES, .batch_size = batch);
    return bpf_prog_test_run_opts(program, &options) == 0 ? 0 : errno;
}

/// Opens an object in memory; NULL with errno.
static inline struct bpf_object *spillway_bpf_open(const void *bytes, size_t length) {
    return bpf_object__open_mem(bytes, length, NULL);
}


/// Attaches an XDP program in the driver until the returned descriptor is closed, or the process ends. -errno on failure.
static inline int spillway_bpf_attach_native(int program, int interface) {
    LIBBPF_OPTS(bpf_link_create_opts, options, .flags = XDP_FLAGS_DRV_MODE);
    const int link = bpf_link_create(program, interface, BPF_XDP, &options);
    return link >= 0 ? link : -errno;
}

/// Moves the calling thread into a fresh network namespace and attaches an XDP program to the loopback interface there, which
/// is down and sees nothing. `space` becomes a descriptor that keeps the namespace. A descriptor of the attachment, or -errno.
static inline int spillway_bpf_park(int program, int *space) {
    LIBBPF_OPTS(bpf_link_create_opts, options, .flags = XDP_FLAGS_SKB_MODE);
    if (syscall(SYS_unshare, CLONE_NEWNET) != 0) return -errno;
    *space = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    if (*space < 0) return -errno;
    // The loopback interface of every namespace has the index 1.
    const int link = bpf_link_create(program, 1, BPF_XDP, &options);
    return link >= 0 ? link : -errno;
}

/// What the kernel says about an interface.
struct spillway_link {
    unsigned flags;
    unsigned short kind;
    unsigned char address[6];
    /// The interface it is tied to, the peer of a pair for example; 0 without.
    unsigned peer;
    /// Whether that one is in another network namespace.
    _Bool is_peer_elsewhere;
};

static inline void spillway_link_attribute(struct spillway_link *link, const struct rtattr *attribute) {
    const size_t length = RTA_PAYLOAD(attribute);
    if (attribute->rta_type == IFLA_ADDRESS && length == sizeof link->address)
        memcpy(link->address, RTA_DATA(attribute), length);
    if (attribute->rta_type == IFLA_LINK && length == sizeof link->peer)
        memcpy(&link->peer, RTA_DATA(attribute), length);
    if (attribute->rta_type == IFLA_LINK_NETNSID) link->is_peer_elsewhere = 1;
}

/// Asks for one interface (rtnetlink(7), RTM_GETLINK). 0, or an errno; ENODEV if there is none of this index.
static inline int spillway_link_get(int interface, struct spillway_link *link) {
    struct {
        struct nlmsghdr header;
        struct ifinfomsg body;
    } request = {
        {.nlmsg_len = sizeof request, .nlmsg_type = RTM_GETLINK, .nlmsg_flags = NLM_F_REQUEST},
        {.ifi_family = AF_UNSPEC, .ifi_index = interface},
    };
    union {
        struct nlmsghdr header;
        char bytes[32768];
    } answer;
    const int socket_ = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (socket_ < 0) return errno;
    ssize_t length = send(socket_, &request, sizeof request, 0);
    if (length >= 0) length = recv(socket_, &answer, sizeof answer, 0);
    const int failure = errno;
    close(socket_);
    if (length < 0) return failure;
    if (!NLMSG_OK(&answer.header, (size_t)length)) return EBADMSG;
    if (answer.header.nlmsg_type == NLMSG_ERROR) return -((struct nlmsgerr *)NLMSG_DATA(&answer.header))->error;
    const struct ifinfomsg *body = (struct ifinfomsg *)NLMSG_DATA(&answer.header);
    *link = (struct spillway_link){.flags = body->ifi_flags, .kind = body->ifi_type};
    int rest = (int)IFLA_PAYLOAD(&answer.header);
    for (const struct rtattr *one = IFLA_RTA(body); RTA_OK(one, rest); one = RTA_NEXT(one, rest))
        spillway_link_attribute(link, one);
    return 0;
}
