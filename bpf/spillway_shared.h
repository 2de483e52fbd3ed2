// What the XDP program and user space agree on: map keys and values, names, and the place of the arrival stamp.
#ifndef SPILLWAY_SHARED_H
#define SPILLWAY_SHARED_H

#include <linux/types.h>

// Names of the maps, as the kernel keeps them (15 bytes at most).
#define SPILLWAY_MAP_SOCKETS "spw_sockets"
#define SPILLWAY_MAP_COUNTS "spw_counts"
#define SPILLWAY_MAP_OWN "spw_own"
#define SPILLWAY_MAP_ADDRESSES "spw_addresses"
#define SPILLWAY_MAP_STATION "spw_station"
#define SPILLWAY_MAP_PREFIXES4 "spw_prefixes4"
#define SPILLWAY_MAP_PREFIXES6 "spw_prefixes6"
#define SPILLWAY_MAP_PORTS "spw_ports"
#define SPILLWAY_MAP_PROTOCOLS "spw_protocols"

// Names of the two programs: one that takes packets in several buffers, and one for drivers that know no such thing.
#define SPILLWAY_PROGRAM_FRAGMENTS "spillway_frags"
#define SPILLWAY_PROGRAM_PLAIN "spillway_plain"
// The program at the kernel's tracepoint of redirects that failed.
#define SPILLWAY_PROGRAM_ERRORS "spillway_errors"

// Bytes before a packet that hold its arrival: nanoseconds of CLOCK_TAI, native order. 0 means that there is no stamp.
#define SPILLWAY_STAMP_BYTES 8

// What became of a packet in the program; one counter per receive queue and verdict.
enum spillway_verdict {
    // Given to the queue's socket.
    SPILLWAY_VERDICT_REDIRECTED,
    // Left to the kernel: ARP and neighbour discovery for us.
    SPILLWAY_VERDICT_NEIGHBOUR,
    // Left to the kernel: our own connections.
    SPILLWAY_VERDICT_OWN,
    // Left to the kernel: the queue has no socket.
    SPILLWAY_VERDICT_NO_SOCKET,
    // Left to the kernel: the selective filter does not match.
    SPILLWAY_VERDICT_UNMATCHED,
    // No verdict of its own, but counted in the same way: redirected, and the kernel could not give it to the socket for
    // a reason that the socket does not count itself.
    SPILLWAY_VERDICT_REDIRECT_FAILED,
    // Nor this: stamped by the card.
    SPILLWAY_VERDICT_CARD_STAMPED,
    SPILLWAY_VERDICTS,
};

// One end or both of a connection of ours. Addresses stand in network order, IPv4 as ::ffff:a.b.c.d; ports too.
// For a listener the remote end is zero; for one on any address so is the local address (::, or ::ffff:0.0.0.0).
struct spillway_own_key {
    __u64 local[2];
    __u64 remote[2];
    __u16 local_port;
    __u16 remote_port;
    __u32 zero;
};

// An address of this machine, in network order.
struct spillway_address {
    __u64 words[2];
};

// What the programs have to know of their interface.
struct spillway_station {
    // Its own station address.
    __u8 address[6];
    __u8 zero[2];
    // The kernel's number of the map of sockets.
    __u32 sockets;
    // CLOCK_TAI less CLOCK_REALTIME in seconds, for cards whose clock shows the latter.
    __u32 tai_offset;
};

// ---- the selective filter ----------------------------------------------------------------------------------------

// A packet meets up to 32 conditions, one bit each. The maps say which ones an address, a port or a protocol meets; the
// packet is selected if every clause holds.
struct spillway_ends {
    __u32 as_source;
    __u32 as_destination;
};

struct spillway_versions {
    __u32 over_ipv4;
    __u32 over_ipv6;
};

// Holds if one of `met` is met, or one of `unmet` is not.
struct spillway_clause {
    __u32 met;
    __u32 unmet;
};

struct spillway_prefix4 {
    __u32 length;
    __u8 address[4];
};

struct spillway_prefix6 {
    __u32 length;
    __u8 address[16];
};

#define SPILLWAY_CLAUSES_MAX 16
#define SPILLWAY_TAGS_MAX 2
// Any VLAN identifier.
#define SPILLWAY_TAG_ANY 0xffff

// What a filter asks about.
#define SPILLWAY_ASKS_ADDRESSES 1
#define SPILLWAY_ASKS_PROTOCOLS 2
#define SPILLWAY_ASKS_PORTS 4

// Fixed when the program is loaded, so that the kernel removes what is never used: the section of the object.
#define SPILLWAY_CONSTANTS ".rodata.filter"

struct spillway_filter {
    // 0: everything is selected.
    __u32 selects;
    __u32 asks;
    // VLAN tags that the frame must begin with, and their identifiers.
    __u32 tags;
    __u16 tag[SPILLWAY_TAGS_MAX];
    // Conditions that the kind of packet alone meets.
    __u32 of_ipv4, of_ipv6, of_arp, of_rarp;
    __u32 clauses;
    struct spillway_clause clause[SPILLWAY_CLAUSES_MAX];
};

// Entries of the maps above.
#define SPILLWAY_OWN_MAX 512
#define SPILLWAY_ADDRESSES_MAX 1024
#define SPILLWAY_PORTS 65536
#define SPILLWAY_PROTOCOLS 256

#endif
