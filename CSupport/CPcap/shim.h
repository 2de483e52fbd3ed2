// What Swift cannot say to libpcap and to AF_PACKET sockets: variadic calls, structures of the kernel, and the promise
// that a C function neither locks nor allocates. Every symbol is prefixed with `spillway_`.
#include <errno.h>
#include <net/if.h>
#include <linux/ethtool.h>
#include <linux/filter.h>
#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <pcap/pcap.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#if defined(__clang__) && __has_attribute(swift_attr)
#define SPILLWAY_PCAP_NO_LOCKS __attribute__((swift_attr("@_noLocks")))
#else
#define SPILLWAY_PCAP_NO_LOCKS
#endif

/// bpf_filter(3PCAP) under the promise that it neither locks nor allocates: it interprets the program over the bytes.
SPILLWAY_PCAP_NO_LOCKS static inline unsigned spillway_bpf_filter(
    const struct bpf_insn *program, const unsigned char *packet, unsigned original, unsigned captured) {
    return bpf_filter(program, packet, original, captured);
}

/// pcap_next_ex(3PCAP) on a non-blocking handle. With TPACKET_V3 it copies the packet from the mapped ring into a buffer
/// of the handle, valid until the next call. It enters the kernel (poll(2) without waiting) only when the current block of
/// the ring is not ready; it neither locks nor allocates.
SPILLWAY_PCAP_NO_LOCKS static inline int spillway_pcap_next(
    pcap_t *handle, struct pcap_pkthdr **header, const unsigned char **bytes) {
    return pcap_next_ex(handle, header, bytes);
}

/// What is done with a packet: nanoseconds since 1970, captured and original length, and the bytes, for this call only.
typedef void (*spillway_pcap_taker)(
    void *context, uint64_t time, uint32_t captured, uint32_t original, const void *bytes);

struct spillway_pcap_take {
    spillway_pcap_taker taker;
    void *context;
    int count;
};

static inline void spillway_pcap_hand_over(
    unsigned char *take, const struct pcap_pkthdr *header, const unsigned char *bytes) {
    struct spillway_pcap_take *to = (struct spillway_pcap_take *)take;
    to->count += 1;
    // The handle was opened for nanoseconds, whatever the field is called.
    const uint64_t time = (uint64_t)header->ts.tv_sec * 1000000000u + (uint64_t)header->ts.tv_usec;
    to->taker(to->context, time, header->caplen, header->len < header->caplen ? header->caplen : header->len, bytes);
}

/// pcap_dispatch(3PCAP) on a non-blocking handle: hands over packets where they lie in the mapped ring, at most `limit`. It
/// enters the kernel like `spillway_pcap_next`; it neither locks nor allocates, if `taker` does not. Returns how many packets
/// it handed over; `failed` is set if it also came upon an error.
SPILLWAY_PCAP_NO_LOCKS static inline int spillway_pcap_drain(
    pcap_t *handle, int limit, spillway_pcap_taker taker, void *context, _Bool *failed) {
    struct spillway_pcap_take take = {taker, context, 0};
    if (pcap_dispatch(handle, limit, spillway_pcap_hand_over, (unsigned char *)&take) < 0) *failed = 1;
    return take.count;
}

/// PACKET_STATISTICS (packet(7)): packets that passed the socket's filter since the last call, those that found the ring
/// full included, and those alone. 0, or an errno.
SPILLWAY_PCAP_NO_LOCKS static inline int spillway_packet_statistics(int socket, uint32_t *packets, uint32_t *drops) {
    struct tpacket_stats_v3 counts;
    socklen_t length = sizeof counts;
    if (getsockopt(socket, SOL_PACKET, PACKET_STATISTICS, &counts, &length) != 0) return errno;
    *packets = counts.tp_packets;
    *drops = counts.tp_drops;
    return 0;
}

/// The version of the ring libpcap got (TPACKET_V3 is 2), or -errno.
static inline int spillway_packet_ring_version(int socket) {
    int version = 0;
    socklen_t length = sizeof version;
    return getsockopt(socket, SOL_PACKET, PACKET_VERSION, &version, &length) == 0 ? version : -errno;
}

/// Binds the socket anew, so that it takes packets of this EtherType (ETH_P_ALL: all). A bind that changes anything returns
/// only when no processor is still delivering under the old one (synchronize_net in packet_do_bind). 0, or an errno;
/// ENETDOWN if the interface is down, and then the socket takes packets once it is up.
static inline int spillway_packet_bind(int socket, int interface, unsigned ethertype) {
    struct sockaddr_ll address = {0};
    address.sll_family = AF_PACKET;
    address.sll_ifindex = interface;
    address.sll_protocol = (uint16_t)(ethertype << 8 | ethertype >> 8);
    if (bind(socket, (struct sockaddr *)&address, sizeof address) != 0) return errno;
    int error = 0;
    socklen_t length = sizeof error;
    return getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &length) == 0 ? error : errno;
}

/// Attaches a filter that nothing passes. 0, or an errno.
static inline int spillway_packet_reject_all(int socket) {
    struct sock_filter reject = BPF_STMT(BPF_RET | BPF_K, 0);
    struct sock_fprog program = {1, &reject};
    return setsockopt(socket, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0 ? 0 : errno;
}

/// How many instructions the filter in the kernel has, 0 without one, or -errno.
static inline int spillway_packet_filter_length(int socket) {
    socklen_t length = 0;
    return getsockopt(socket, SOL_SOCKET, SO_GET_FILTER, NULL, &length) == 0 ? (int)length : -errno;
}

enum { spillway_packet_filter_limit = BPF_MAXINSNS };

/// Puts in front of the filter in the kernel: what leaves over the interface `loopback`, or over a CAN interface, does not
/// pass. It comes in again over the same interface, and libpcap throws the first sight away after the kernel counted it
/// (linux_check_direction). `room` holds `spillway_packet_filter_limit` instructions. 0, or an errno.
static inline int spillway_packet_ignore_echo(int socket, int loopback, struct sock_filter *room) {
    const struct sock_filter echo[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_PKTTYPE)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PACKET_OUTGOING, 0, 5),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_IFINDEX)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)loopback, 2, 0),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_HATYPE)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARPHRD_CAN, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    const unsigned count = sizeof echo / sizeof echo[0];
    int present = spillway_packet_filter_length(socket);
    if (present < 0) return -present;
    if (present + count + 1 > spillway_packet_filter_limit) return EINVAL;
    memcpy(room, echo, sizeof echo);
    socklen_t length = (socklen_t)present;
    if (present == 0) {
        room[count] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, 0x40000);
        present = 1;
    } else if (getsockopt(socket, SOL_SOCKET, SO_GET_FILTER, room + count, &length) != 0) {
        return errno;
    }
    struct sock_fprog program = {(unsigned short)(count + (unsigned)present), room};
    return setsockopt(socket, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0 ? 0 : errno;
}

/// The flags of an interface (netdevice(7)), or -errno; ENODEV if there is none of this name.
static inline int spillway_interface_flags(int socket, const char *name) {
    struct ifreq request = {0};
    strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    return ioctl(socket, SIOCGIFFLAGS, &request) == 0 ? (unsigned short)request.ifr_flags : -errno;
}

/// Describes driver and bus of an interface (ETHTOOL_GDRVINFO), NUL-terminated; empty if there is nothing to say.
static inline void spillway_interface_driver(int socket, const char *name, char *text, size_t room) {
    struct ethtool_drvinfo driver = {.cmd = ETHTOOL_GDRVINFO};
    struct ifreq request = {0};
    strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    request.ifr_data = (char *)&driver;
    text[0] = 0;
    if (ioctl(socket, SIOCETHTOOL, &request) != 0 || driver.driver[0] == 0) return;
    snprintf(
        text, room, "driver %.31s%s%.31s%s%.31s", driver.driver, driver.fw_version[0] ? ", firmware " : "",
        driver.fw_version, driver.bus_info[0] ? ", bus " : "", driver.bus_info);
}
