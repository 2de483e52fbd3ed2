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

// Names of the two programs: one that takes packets in several buffers, and one for drivers that know no such thing.
#define SPILLWAY_PROGRAM_FRAGMENTS "spillway_frags"
#define SPILLWAY_PROGRAM_PLAIN "spillway_plain"
// Both begin so, and so does what a killed process left behind.
#define SPILLWAY_PROGRAM_PREFIX "spillway_"

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

// The interface's own station address.
struct spillway_station {
    __u8 address[6];
    __u8 zero[2];
};

// Entries of the maps above.
#define SPILLWAY_OWN_MAX 512
#define SPILLWAY_ADDRESSES_MAX 1024

#endif
