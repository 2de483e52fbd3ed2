// What Swift cannot say to libbpf, to AF_XDP sockets and to the interface ioctls. The headers of libbpf stay out of it: they
// define structures of the names that libpcap uses for others. Every symbol is prefixed with `spillway_`.
#ifndef SPILLWAY_CXDP_H
#define SPILLWAY_CXDP_H

#include <errno.h>
#include <linux/if_xdp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "../../../bpf/spillway_shared.h"

#if defined(__clang__) && __has_attribute(swift_attr)
#define SPILLWAY_XDP_NO_LOCKS __attribute__((swift_attr("@_noLocks")))
#else
#define SPILLWAY_XDP_NO_LOCKS
#endif

#include "transmit.h"

// ---- the program -------------------------------------------------------------------------------------------------

/// What to load.
struct spillway_xdp_request {
    /// The object file.
    const void *bytes;
    size_t length;
    /// Which of the two programs.
    _Bool with_fragments;
    /// Receive queues of the interface.
    uint32_t queues;
    /// The interface whose card is to stamp packets, which takes another object; 0 for none.
    int card_interface;
    /// Which packets are captured, and how many prefixes the maps are to hold.
    struct spillway_filter filter;
    uint32_t prefixes4, prefixes6;
};

/// A loaded program and the maps it uses, as descriptors. All are this process's own; -1 for what is not there.
struct spillway_xdp_program {
    int program, sockets, counts, own, addresses, station;
    /// The selective filter's.
    int prefixes4, prefixes6, ports, protocols;
    /// The tracepoint of redirects that failed, as long as it is open.
    int errors;
};

/// Loads one of the two programs of an object. 0, or an errno.
int spillway_xdp_load(const struct spillway_xdp_request *request, struct spillway_xdp_program *result);

/// Closes what `spillway_xdp_load` opened.
void spillway_xdp_unload(const struct spillway_xdp_program *program);

/// The kernel's number of a map; 0 if it does not tell.
uint32_t spillway_xdp_map_number(int map);

/// Enters a value into a map. 0, or an errno.
int spillway_xdp_set(int map, const void *key, const void *value);

/// Runs the program over a frame that nobody sent (BPF_PROG_TEST_RUN), which tells what it would do with it. 0, or an errno.
int spillway_xdp_judge(int program, const void *frame, uint32_t length, uint32_t *verdict);

/// Attaches a program where none is, in the driver or in front of the stack, by a link that vanishes with the process.
/// The link, or -errno; EBUSY or EEXIST if there is a program already.
int spillway_xdp_attach(int interface, int program, _Bool in_driver);

/// Detaches the program of a link at once, and closes it.
void spillway_xdp_detach(int link);

/// Whether an attachment still is one: somebody may have detached it (bpftool link detach), and with its interface it ends.
_Bool spillway_xdp_is_attached(int link);

/// What is attached to an interface.
struct spillway_xdp_present {
    /// 0 if nothing is.
    uint32_t identifier;
    char name[16];
};

/// Looks which program is attached. 0, or an errno.
int spillway_xdp_query(int interface, struct spillway_xdp_present *present);

/// Sums a counter of the program over all processors.
uint64_t spillway_xdp_count(int counts, uint32_t queue, uint32_t verdict, uint64_t *room, int processors);

/// Enters or removes a key of one byte's value. 0, or an errno.
int spillway_xdp_mark(int map, const void *key, _Bool is_there);

/// Puts a queue's socket into the program's map, or takes it out. 0, or an errno.
int spillway_xdp_set_socket(int sockets, uint32_t queue, int socket);

// ---- the socket --------------------------------------------------------------------------------------------------

/// A new AF_XDP socket, or an ordinary one to ask the kernel about interfaces with. -1 with errno. Here because SOCK_RAW and the like
/// are an enumeration, which belongs to another Swift module depending on the order in which the compiler loads them.
int spillway_xdp_socket(void);
int spillway_xdp_control_socket(void);

/// Entries of a socket's four rings; 0 for the receive or the transmit ring where there is to be none.
struct spillway_xdp_rings {
    uint32_t fill, completion, receive, transmit;
};

/// Registers memory for packets in chunks of `chunk` bytes, and the sizes of the rings. 0, or an errno.
int spillway_xdp_set_up(int socket, void *memory, uint64_t length, uint32_t chunk, struct spillway_xdp_rings rings);

/// Where things lie in the mapping of a ring.
int spillway_xdp_offsets(int socket, struct xdp_mmap_offsets *offsets);

/// Maps the ring that stands at `place` of a socket, one of the XDP_PGOFF constants; NULL on failure (errno).
void *spillway_xdp_map_ring(int socket, size_t length, int64_t place);

/// Binds the socket to a queue. 0, or an errno.
int spillway_xdp_bind(int socket, int interface, uint32_t queue, _Bool zero_copy, _Bool fragments);

/// Whether the kernel granted zero-copy (XDP_OPTIONS): 1 or 0, or -errno.
int spillway_xdp_is_zero_copy(int socket);

/// XDP_STATISTICS; fields an older kernel does not know are 0. 0, or an errno.
SPILLWAY_XDP_NO_LOCKS static inline int spillway_xdp_statistics(int socket, struct xdp_statistics *statistics) {
    memset(statistics, 0, sizeof *statistics);
    socklen_t length = sizeof *statistics;
    return getsockopt(socket, SOL_XDP, XDP_STATISTICS, statistics, &length) == 0 ? 0 : errno;
}

/// Tells the driver that the fill ring has something again. It never waits.
SPILLWAY_XDP_NO_LOCKS static inline void spillway_xdp_wake(int socket) {
    recvfrom(socket, NULL, 0, MSG_DONTWAIT, NULL, NULL);
}

// ---- the interface -----------------------------------------------------------------------------------------------

struct ifreq;

/// Asks the kernel something about an interface (netdevice(7)), by its index, for its name may change. 0, or an errno; ENODEV
/// if it is not in the network namespace of the socket any more.
int spillway_xdp_ask(int socket, int interface, unsigned long question, struct ifreq *request);

/// Its flags (netdevice(7)), or -errno.
int spillway_xdp_flags(int socket, int interface);

/// Its number of receive queues; 1 for a driver that does not say. `most` becomes the number it can be given under way.
uint32_t spillway_xdp_queues(int socket, int interface, uint32_t *most);

/// Its greatest packet without the Ethernet header, or -errno.
int spillway_xdp_mtu(int socket, int interface);

/// Its station address and hardware type (ARPHRD_), or -errno.
int spillway_xdp_station(int socket, int interface, struct spillway_station *station);

/// How a card stamps packets.
struct spillway_card_stamps {
    _Bool is_changed;
    int flags, tx_type, rx_filter;
};

/// Whether the card takes VLAN tags out of frames (ethtool's rxvlan): 1 or 0, or -errno.
int spillway_xdp_strips_tags(int socket, int interface);

/// Has the card take VLAN tags out of frames, or leave them in. 0, or an errno.
int spillway_xdp_strip_tags(int socket, int interface, _Bool strips);

/// A packet socket that receives nothing and makes the interface take frames for other stations too (packet(7)) as
/// long as it is open. The socket, or -errno.
int spillway_xdp_promiscuous(int interface);

/// Marks an interface as captured by this process: an abstract socket of the network namespace, which vanishes with the
/// process however it ends. The socket, or -errno; -EADDRINUSE if a living process has it.
int spillway_xdp_claim(int interface);

/// CLOCK_TAI less CLOCK_REALTIME in nanoseconds: whole seconds, 0 on a machine that was not told.
int64_t spillway_xdp_tai_offset(void);

/// Lets the process lock as much memory as it likes (RLIMIT_MEMLOCK), where it may.
void spillway_xdp_lift_memory_limit(void);

/// Tells the program the interface's own station address. 0, or an errno.
int spillway_xdp_set_station(int map, const struct spillway_station *station);

/// Has the card stamp every packet it receives, as ptp4l does (SIOCSHWTSTAMP, Documentation/networking/timestamping.rst).
/// `before` becomes what has to be set afterwards: nothing if it did so already. 0, or an errno.
int spillway_xdp_stamp_in_card(int socket, int interface, struct spillway_card_stamps *before);

/// Sets again what was before.
void spillway_xdp_restore_stamps(int socket, int interface, const struct spillway_card_stamps *before);

/// Has the kernel work for this socket only when it is asked (SO_PREFER_BUSY_POLL), at most `budget` packets at a time.
/// 0, or an errno; `step` becomes the option that was refused.
int spillway_xdp_busy_poll(int socket, int microseconds, int budget, const char **step);

/// How many processors a counter of the program has.
int spillway_xdp_processors(void);

#endif
