// What the generator's programs in the kernel share with user space: the settings of a run, its state and its counts. It is
// the only variable of the object and lies in a map that user space maps into its memory.
#ifndef SPILLWAY_GENERATOR_H
#define SPILLWAY_GENERATOR_H

#include <linux/types.h>

/// What happens to a packet that is longer than `fragment`.
enum spillway_fragments {
    SPILLWAY_FRAGMENTS_IN_ORDER,
    SPILLWAY_FRAGMENTS_SHUFFLED,
    /// Every fragment but the first begins with the last 8 bytes of the one before it.
    SPILLWAY_FRAGMENTS_OVERLAPPING,
    /// One fragment of each packet is never sent.
    SPILLWAY_FRAGMENTS_INCOMPLETE,
};

/// How many slots the mix of sizes has.
#define SPILLWAY_SIZE_SLOTS 12

struct spillway_generator {
    // Settings, written once before the first frame.

    /// The index of the interface out of which frames go.
    __u32 interface;
    /// Bytes of the frame that the kernel hands to the program, at least those of the largest frame.
    __u32 room;
    /// Bytes in front of the IP header: 14, 18 or 22.
    __u32 link_length;
    /// 4 or 6.
    __u32 version;
    /// 17 for UDP, 6 for TCP.
    __u32 protocol;
    /// How many flows there are; packet n belongs to flow n % flows.
    __u32 flows;
    /// Data segments between SYN and FIN.
    __u32 segments;
    /// Sizes are `size` to `size + span - 1` bytes; with a span of 0, the slots of `mix`.
    __u32 size;
    __u32 span;
    __u32 mix[SPILLWAY_SIZE_SLOTS];
    /// Bytes of IP payload in a fragment, a multiple of 8 and at least 16; 0 sends every packet whole.
    __u32 fragment;
    /// One of `spillway_fragments`.
    __u32 fragment_order;
    /// The Ethernet header with its tags; the bytes behind it are overwritten.
    __u8 link[24];
    /// Source and destination address in network order; of IPv4 only the first word of each. The flow is added to the last
    /// word of the source.
    __u32 source[4];
    __u32 destination[4];
    /// Ports in host order. Flows beyond 65536 add to the source port.
    __u16 source_port;
    __u16 destination_port;
    /// What payloads consist of behind the number, as it lies in memory.
    __u64 pattern;
    /// The first packet number that is not sent.
    __u64 limit;

    // State. The number of the packet at hand, its size without fragmentation, and its fragments.
    __u64 number;
    __u32 packet_size;
    __u32 pieces;
    __u32 next_piece;
    /// The first error of a redirect, as a positive errno.
    __s32 error;
    /// The thread that makes frames, so that what others send is not counted.
    __u64 thread;

    // Counts of frames.

    /// Made, and their bytes.
    __u64 made;
    __u64 made_bytes;
    /// Taken by the driver.
    __u64 sent;
    /// Refused by the driver, for example because its ring was full.
    __u64 dropped;
    /// Refused before they reached the driver.
    __u64 refused;
};

#endif
