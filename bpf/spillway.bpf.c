// The XDP program: stamps, counts, leaves to the kernel what is the kernel's, and gives everything else to the socket
// of the queue it came in by.
#include <linux/bpf.h>
#include <linux/errno.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <stdbool.h>
#include <stddef.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "spillway_shared.h"

// User space sets the number of entries of the first two before loading, by the number of receive queues.
struct {
    __uint(type, BPF_MAP_TYPE_XSKMAP);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, __u32);
} spw_sockets SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, SPILLWAY_VERDICTS);
    __type(key, __u32);
    __type(value, __u64);
} spw_counts SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, SPILLWAY_OWN_MAX);
    __type(key, struct spillway_own_key);
    __type(value, __u8);
} spw_own SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, SPILLWAY_ADDRESSES_MAX);
    __type(key, struct spillway_address);
    __type(value, __u8);
} spw_addresses SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct spillway_station);
} spw_station SEC(".maps");

// Which packets are captured, set by user space before loading. It is constant to the kernel, and alone in its section.
const volatile struct spillway_filter spillway_filter SEC(SPILLWAY_CONSTANTS);

// At most so many VLAN tags are looked through.
#define VLAN_TAGS_MAX 2

// Headers that linux/icmp.h and friends lay out for another purpose: only what is needed here.
struct arp_ipv4 {
    __u16 hardware, protocol;
    __u8 hardware_length, protocol_length;
    __u16 operation;
    __u8 sender_station[6], sender_address[4], target_station[6], target_address[4];
} __attribute__((packed));

struct vlan_tag {
    __u16 control, type;
};

// The present position in the packet, and its end.
struct cursor {
    void *at, *end;
};

// The next bytes as a header, or leaves the function: there is no such header.
#define TAKE(type, name)                           \
    type *name = position->at;                     \
    if ((void *)(name + 1) > position->end) return false

static __always_inline void mapped(__u64 *words, __u32 address) {
    words[0] = 0;
    words[1] = bpf_cpu_to_be64(0x0000ffff00000000ull | bpf_ntohl(address));
}

static __always_inline void copy_address(__u64 *words, const struct in6_addr *address) {
    __builtin_memcpy(words, address, 16);
}

static __always_inline bool is_ours(const __u64 *words) {
    struct spillway_address key = {{words[0], words[1]}};
    return bpf_map_lookup_elem(&spw_addresses, &key) != 0;
}

// Whether a connection of ours has these ends, or a listener of ours the local one.
static __always_inline bool is_own(struct spillway_own_key *key) {
    if (bpf_map_lookup_elem(&spw_own, key)) return true;
    key->remote[0] = key->remote[1] = 0;
    key->remote_port = 0;
    if (bpf_map_lookup_elem(&spw_own, key)) return true;
    // A listener on any address means the addresses of this machine.
    const bool is_ipv4 = key->local[0] == 0 && (key->local[1] & bpf_cpu_to_be64(0xffffffff00000000ull)) ==
                                                   bpf_cpu_to_be64(0x0000ffff00000000ull);
    struct spillway_own_key any = *key;
    any.local[0] = 0;
    any.local[1] = 0;
    bool is_heard = bpf_map_lookup_elem(&spw_own, &any) != 0;
    if (!is_heard && is_ipv4) {
        mapped(any.local, 0);
        is_heard = bpf_map_lookup_elem(&spw_own, &any) != 0;
    }
    return is_heard && is_ours(key->local);
}

// The TCP ports of a segment that came in, or, quoted in an error, of one that we sent.
static __always_inline bool is_own_segment(struct cursor *position, struct spillway_own_key *key, bool is_quoted) {
    __u16 *ports = position->at;
    if ((void *)(ports + 2) > position->end) return false;
    key->local_port = is_quoted ? ports[0] : ports[1];
    key->remote_port = is_quoted ? ports[1] : ports[0];
    return is_own(key);
}

// An IPv4 header that an error of the network quotes.
static __always_inline bool quotes_own_ipv4(struct cursor *position, struct spillway_own_key *key) {
    TAKE(struct iphdr, header);
    if (header->protocol != IPPROTO_TCP || header->ihl < 5) return false;
    mapped(key->local, header->saddr);
    mapped(key->remote, header->daddr);
    position->at += header->ihl * 4;
    return is_own_segment(position, key, true);
}

static __always_inline bool quotes_own_ipv6(struct cursor *position, struct spillway_own_key *key) {
    TAKE(struct ipv6hdr, header);
    if (header->nexthdr != IPPROTO_TCP) return false;
    copy_address(key->local, &header->saddr);
    copy_address(key->remote, &header->daddr);
    position->at = header + 1;
    return is_own_segment(position, key, true);
}

static __always_inline bool is_own_ipv4(struct cursor *position) {
    TAKE(struct iphdr, header);
    if (header->ihl < 5) return false;
    // A later fragment has no ports; the kernel does not fragment TCP.
    if (header->frag_off & bpf_htons(0x1fff)) return false;
    struct spillway_own_key key = {};
    position->at += header->ihl * 4;
    if (header->protocol == IPPROTO_TCP) {
        mapped(key.local, header->daddr);
        mapped(key.remote, header->saddr);
        return is_own_segment(position, &key, false);
    }
    if (header->protocol != IPPROTO_ICMP) return false;
    TAKE(__u64, error);
    const __u8 type = *(__u8 *)error;
    // RFC 792: destination unreachable, time exceeded, parameter problem.
    if (type != 3 && type != 11 && type != 12) return false;
    position->at = error + 1;
    return quotes_own_ipv4(position, &key);
}

static __always_inline bool is_own_ipv6(struct cursor *position) {
    TAKE(struct ipv6hdr, header);
    struct spillway_own_key key = {};
    position->at = header + 1;
    if (header->nexthdr == IPPROTO_TCP) {
        copy_address(key.local, &header->daddr);
        copy_address(key.remote, &header->saddr);
        return is_own_segment(position, &key, false);
    }
    if (header->nexthdr != IPPROTO_ICMPV6) return false;
    TAKE(__u64, error);
    const __u8 type = *(__u8 *)error;
    // RFC 4443, 3: errors have the types 1 to 4.
    if (type < 1 || type > 4) return false;
    position->at = error + 1;
    return quotes_own_ipv6(position, &key);
}

// ARP (RFC 826) about an address of ours: questions for it and answers to us.
static __always_inline bool is_arp_for_us(struct cursor *position) {
    TAKE(struct arp_ipv4, packet);
    if (packet->protocol != bpf_htons(ETH_P_IP) || packet->protocol_length != 4) return false;
    __u32 address;
    __builtin_memcpy(&address, packet->target_address, 4);
    __u64 words[2];
    mapped(words, address);
    return is_ours(words);
}

// Neighbour discovery (RFC 4861) for us: solicitations for an address of ours, advertisements sent to one.
static __always_inline bool is_discovery_for_us(struct cursor *position) {
    TAKE(struct ipv6hdr, header);
    if (header->nexthdr != IPPROTO_ICMPV6) return false;
    __u8 *message = (__u8 *)(header + 1);
    if ((void *)(message + 24) > position->end) return false;
    __u64 words[2];
    if (message[0] == 135) {
        __builtin_memcpy(words, message + 8, 16);
    } else if (message[0] == 136) {
        copy_address(words, &header->daddr);
    } else {
        return false;
    }
    return is_ours(words);
}

// What the kernel is to have; SPILLWAY_VERDICT_REDIRECTED for everything else.
static __always_inline __u32 judge(struct xdp_md *context) {
    struct cursor place = {(void *)(long)context->data, (void *)(long)context->data_end};
    struct ethhdr *frame = place.at;
    if ((void *)(frame + 1) > place.end) return SPILLWAY_VERDICT_REDIRECTED;
    place.at = frame + 1;
    __u16 type = frame->h_proto;
#pragma unroll
    for (int tags = 0; tags < VLAN_TAGS_MAX; tags++) {
        if (type != bpf_htons(ETH_P_8021Q) && type != bpf_htons(ETH_P_8021AD)) break;
        struct vlan_tag *tag = place.at;
        if ((void *)(tag + 1) > place.end) return SPILLWAY_VERDICT_REDIRECTED;
        type = tag->type;
        place.at = tag + 1;
    }
    const __u32 zero = 0;
    const struct spillway_station *station = bpf_map_lookup_elem(&spw_station, &zero);
    if (!station) return SPILLWAY_VERDICT_REDIRECTED;
    // What goes to another station is a copy on a mirror port, whatever it says further in.
    const bool is_to_us = __builtin_memcmp(frame->h_dest, station->address, 6) == 0;
    if (!is_to_us && !(frame->h_dest[0] & 1)) return SPILLWAY_VERDICT_REDIRECTED;
    if (type == bpf_htons(ETH_P_ARP)) return is_arp_for_us(&place) ? SPILLWAY_VERDICT_NEIGHBOUR : 0;
    if (type == bpf_htons(ETH_P_IPV6)) {
        struct cursor again = place;
        if (is_discovery_for_us(&again)) return SPILLWAY_VERDICT_NEIGHBOUR;
        return is_to_us && is_own_ipv6(&place) ? SPILLWAY_VERDICT_OWN : 0;
    }
    if (type == bpf_htons(ETH_P_IP) && is_to_us) return is_own_ipv4(&place) ? SPILLWAY_VERDICT_OWN : 0;
    return SPILLWAY_VERDICT_REDIRECTED;
}

#include "selection.bpf.h"

static __always_inline void count(__u32 queue, __u32 verdict) {
    const __u32 place = queue * SPILLWAY_VERDICTS + verdict;
    __u64 *counter = bpf_map_lookup_elem(&spw_counts, &place);
    if (counter) *counter += 1;
}

#ifdef SPILLWAY_CARD_TIME
// Nanoseconds by the card's clock (Documentation/networking/xdp-rx-metadata.rst). Only a program that is loaded for one
// device may call it.
extern int bpf_xdp_metadata_rx_timestamp(const struct xdp_md *context, __u64 *timestamp) __ksym;

#define SECOND 1000000000ull

// The card's stamp as CLOCK_TAI, or the present time where there is none that can be right: a card's clock is set to TAI or
// to UTC, or runs freely, and then its stamps say nothing about the time of day.
static __always_inline __u64 arrival_time(struct xdp_md *context, __u32 queue) {
    const __u64 now = bpf_ktime_get_tai_ns();
    __u64 stamp = 0;
    if (bpf_xdp_metadata_rx_timestamp(context, &stamp) != 0 || stamp == 0) return now;
    const __u32 zero = 0;
    const struct spillway_station *station = bpf_map_lookup_elem(&spw_station, &zero);
    if (!station) return now;
    if (stamp + SECOND < now) stamp += station->tai_offset * SECOND;
    if (stamp + SECOND < now || stamp > now + SECOND) return now;
    count(queue, SPILLWAY_VERDICT_CARD_STAMPED);
    return stamp;
}
#else
static __always_inline __u64 arrival_time(struct xdp_md *context, __u32 queue) { return bpf_ktime_get_tai_ns(); }
#endif

static __always_inline int handle(struct xdp_md *context) {
    const __u32 queue = context->rx_queue_index;
    const __u64 arrival = arrival_time(context, queue);
    if (!bpf_map_lookup_elem(&spw_sockets, &queue)) {
        count(queue, SPILLWAY_VERDICT_NO_SOCKET);
        return XDP_PASS;
    }
    __u32 verdict = judge(context);
    if (verdict == SPILLWAY_VERDICT_REDIRECTED && !is_selected(context)) verdict = SPILLWAY_VERDICT_UNMATCHED;
    count(queue, verdict);
    if (verdict != SPILLWAY_VERDICT_REDIRECTED) return XDP_PASS;
    // Without room for it there is no stamp, and user space takes its own time.
    if (bpf_xdp_adjust_meta(context, -SPILLWAY_STAMP_BYTES) == 0) {
        __u64 *stamp = (void *)(long)context->data_meta;
        if ((void *)(stamp + 1) <= (void *)(long)context->data) *stamp = arrival;
    }
    // A socket that goes away between the look above and here leaves the packet to the kernel.
    return bpf_redirect_map(&spw_sockets, queue, XDP_PASS);
}

SEC("xdp.frags")
int spillway_frags(struct xdp_md *context) { return handle(context); }

SEC("xdp")
int spillway_plain(struct xdp_md *context) { return handle(context); }

// Redirects that failed. Device, program, target, error, kind of map, map, and place in the map, which is the queue. What the
// socket counts itself (no frame, ring full, too large: XDP_STATISTICS) is left out.
SEC("tp_btf/xdp_redirect_err")
int spillway_errors(__u64 *arguments) {
    const int error = (int)arguments[3];
    const __u32 zero = 0;
    const struct spillway_station *station = bpf_map_lookup_elem(&spw_station, &zero);
    if (!station || (__u32)arguments[5] != station->sockets) return 0;
    if (error == -ENOMEM || error == -ENOBUFS || error == -ENOSPC) return 0;
    count((__u32)arguments[6], SPILLWAY_VERDICT_REDIRECT_FAILED);
    return 0;
}

#ifdef SPILLWAY_CARD_TIME
// The kernel lends its functions to programs only that may be used under the GPL too.
char program_license[] SEC("license") = "Dual BSD/GPL";
#else
char program_license[] SEC("license") = "Apache-2.0";
#endif
