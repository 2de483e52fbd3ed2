// The generator in the kernel. `generate` runs under BPF_PROG_TEST_RUN with live frames: the kernel hands it frames from a
// pool of pages, it makes each one the next packet of the run and redirects it out of the interface.
//
// The kernel does not restore the bytes of a page it uses again, and the receiver may have changed them (taking a VLAN tag
// out moves the Ethernet header). So every byte that differs between packets, and every header, is written each time;
// behind the headers lies the same pattern at the same place in every frame.
#include "generator.h"

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "The sums over the pattern count on a little-endian machine."
#endif

char _license[] SEC("license") = "Dual BSD/GPL";

struct spillway_generator state = {};

/// The next sequence number of each TCP flow, in host order. User space sets the number of entries.
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, __u32);
} sequences SEC(".maps");

/// The Fragment header of IPv6 (RFC 8200, 4.5).
struct fragment_header {
    __u8 next;
    __u8 reserved;
    __be16 offset;
    __be32 identification;
};

/// One frame to be made: a whole packet, or a fragment of it.
struct piece {
    __u64 number;
    __u32 flow;
    /// Bytes of the packet's IP payload, all fragments together.
    __u32 payload;
    /// Where the frame's part of it begins, and how long it is.
    __u32 start;
    __u32 length;
    /// How many fragments behind the first one begin with the number.
    __u32 copies;
    _Bool is_fragment;
    _Bool is_first;
    _Bool has_more;
    /// Whether the number fits into it.
    _Bool has_number;
};

/// The one's complement sum over 8 bytes as they lie in memory (RFC 1071).
static __always_inline __u64 sum8(__u64 bytes) {
    return (bytes & 0xffff) + (bytes >> 16 & 0xffff) + (bytes >> 32 & 0xffff) + (bytes >> 48);
}

static __always_inline __u64 sum4(__u32 bytes) { return (bytes & 0xffff) + (bytes >> 16); }

static __always_inline __u16 checksum(__u64 sum) {
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return (__u16)~sum;
}

/// The size of packet `number`. A multiple of the golden ratio modulo 1 spreads evenly from the first packet on, and anybody
/// who knows the number can tell the size.
static __always_inline __u32 draw_size(__u64 number) {
    const __u64 part = number * 0x9e3779b97f4a7c15ull >> 32;
    if (state.span) return state.size + (__u32)(part * state.span >> 32);
    const __u32 slot = (__u32)(part * SPILLWAY_SIZE_SLOTS >> 32);
    return slot < SPILLWAY_SIZE_SLOTS ? state.mix[slot] : 0;
}

static __always_inline __u32 network_length(void) { return state.version == 4 ? 20 : 40; }

/// Which fragment comes at this turn. Every step below is a prime above the number of fragments, so that each fragment has
/// its turn once.
static __always_inline __u32 index_at(__u32 turn) {
    if (state.fragment_order == SPILLWAY_FRAGMENTS_SHUFFLED) {
        const __u32 step = state.number & 1 ? 7919 : 7907;
        return (turn * step + (__u32)(state.number & 0xffff)) % state.pieces;
    }
    if (state.fragment_order == SPILLWAY_FRAGMENTS_INCOMPLETE) {
        const __u32 missing = (__u32)(state.number % state.pieces);
        return turn < missing ? turn : turn + 1;
    }
    return turn;
}

/// Describes the next frame and moves the state on to the one after it.
static __always_inline void next(struct piece *piece) {
    if (state.next_piece == 0) {
        state.packet_size = draw_size(state.number);
        state.pieces = 1;
    }
    const __u32 payload = state.packet_size - state.link_length - network_length();
    const __u32 fragment = state.fragment;
    if (state.next_piece == 0 && fragment) state.pieces = (payload + fragment - 1) / fragment;
    const __u32 pieces = state.pieces;
    piece->number = state.number;
    piece->flow = (__u32)(state.number % state.flows);
    piece->payload = payload;
    piece->is_fragment = pieces > 1;
    __u32 index = 0, turns = 1;
    piece->start = 0;
    piece->length = payload;
    piece->copies = 0;
    if (pieces > 1) {
        index = index_at(state.next_piece);
        turns = state.fragment_order == SPILLWAY_FRAGMENTS_INCOMPLETE ? pieces - 1 : pieces;
        const __u32 last = payload - (pieces - 1) * fragment;
        piece->start = index * fragment;
        piece->length = index == pieces - 1 ? last : fragment;
        piece->copies = last >= 8 ? pieces - 1 : pieces - 2;
    }
    piece->has_number = piece->length >= 8;
    piece->is_first = index == 0;
    piece->has_more = index + 1 < pieces;
    if (index > 0 && state.fragment_order == SPILLWAY_FRAGMENTS_OVERLAPPING) {
        piece->start -= 8;
        piece->length += 8;
    }
    state.next_piece += 1;
    if (state.next_piece >= turns) {
        state.next_piece = 0;
        state.number += 1;
    }
}

/// Writes the IP header and gives the part of the pseudo header's sum that the addresses make.
static __always_inline __u64 write_ipv4(struct iphdr *ip, const struct piece *piece) {
    const __u16 offset = (piece->start >> 3) | (piece->has_more ? 0x2000 : 0);
    ip->version = 4;
    ip->ihl = 5;
    ip->tos = 0;
    ip->tot_len = bpf_htons(20 + piece->length);
    ip->id = bpf_htons((__u16)piece->number);
    // A packet that is whole must not be fragmented on its way.
    ip->frag_off = bpf_htons(piece->is_fragment ? offset : 0x4000);
    ip->ttl = 64;
    ip->protocol = state.protocol;
    ip->saddr = bpf_htonl(bpf_ntohl(state.source[0]) + (piece->flow & 0xffff));
    ip->daddr = state.destination[0];
    const __u64 addresses = sum4(ip->saddr) + sum4(ip->daddr);
    ip->check = checksum(
        addresses + bpf_htons(0x4500) + ip->tot_len + ip->id + ip->frag_off + bpf_htons(64 << 8 | state.protocol));
    return addresses;
}

static __always_inline __u64 write_ipv6(struct ipv6hdr *ip, const struct piece *piece) {
    struct fragment_header *fragment = (void *)(ip + 1);
    *(__be32 *)ip = bpf_htonl(6u << 28);
    ip->payload_len = bpf_htons(piece->length + (piece->is_fragment ? sizeof *fragment : 0));
    ip->nexthdr = piece->is_fragment ? IPPROTO_FRAGMENT : state.protocol;
    ip->hop_limit = 64;
    __be32 *source = (__be32 *)((void *)ip + 8), *destination = (__be32 *)((void *)ip + 24);
    __u64 sum = 0;
    for (int word = 0; word < 4; word++) {
        const __be32 mine =
            word < 3 ? state.source[word] : bpf_htonl(bpf_ntohl(state.source[3]) + (piece->flow & 0xffff));
        source[word] = mine;
        destination[word] = state.destination[word];
        sum += sum4(mine) + sum4(state.destination[word]);
    }
    if (piece->is_fragment) {
        fragment->next = state.protocol;
        fragment->reserved = 0;
        fragment->offset = bpf_htons(piece->start | piece->has_more);
        fragment->identification = bpf_htonl((__u32)piece->number);
    }
    return sum;
}

/// The sum over `length` bytes of the pattern.
static __always_inline __u64 pattern_sum(__u32 length) {
    return sum8(state.pattern) * (length / 8) + sum8(state.pattern & ((1ull << length % 8 * 8) - 1));
}

static __always_inline void write_udp(__u64 *payload, const struct piece *piece, __u64 addresses) {
    const __u64 number = bpf_cpu_to_be64(piece->number);
    payload[2] = state.pattern;
    if (!piece->is_first) {
        const _Bool overlaps = state.fragment_order == SPILLWAY_FRAGMENTS_OVERLAPPING;
        payload[0] = !overlaps && piece->has_number ? number : state.pattern;
        payload[1] = overlaps && piece->has_number ? number : state.pattern;
        return;
    }
    struct udphdr *udp = (struct udphdr *)payload;
    udp->source = bpf_htons(state.source_port + (piece->flow >> 16));
    udp->dest = bpf_htons(state.destination_port);
    udp->len = bpf_htons(piece->payload);
    payload[1] = number;
    // Each number stands where 8 bytes of the pattern would.
    const __u16 sum = checksum(
        addresses + bpf_htons(IPPROTO_UDP) + 2 * (__u64)udp->len + udp->source + udp->dest +
        sum8(number) * (1 + piece->copies) + pattern_sum(piece->payload - 16 - 8 * piece->copies));
    udp->check = sum ? sum : 0xffff;
}

/// The turns of a flow are SYN, data segments and FIN, over and over. All carry a number, the SYN too (RFC 9293, 3.10.7.4).
static __always_inline void write_tcp(void *payload, const struct piece *piece, __u64 addresses) {
    __u32 key = piece->flow;
    __u32 *sequence = bpf_map_lookup_elem(&sequences, &key);
    if (!sequence) return;
    const __u32 turn = (__u32)(piece->number / state.flows % (state.segments + 2));
    const _Bool opens = turn == 0, closes = turn == state.segments + 1;
    // The next connection of a flow begins well above the last one (RFC 9293, 3.4.1).
    if (opens) *sequence += 64000;
    struct tcphdr *tcp = payload;
    tcp->source = bpf_htons(state.source_port + (piece->flow >> 16));
    tcp->dest = bpf_htons(state.destination_port);
    tcp->seq = bpf_htonl(*sequence);
    tcp->ack_seq = opens ? 0 : bpf_htonl(1);
    // Data offset and flags. PSH on every segment keeps a receiver's GRO from merging them, which would make of many
    // numbered packets one.
    const __u16 flags = 5 << 12 | (opens ? 0x02 : closes ? 0x19 : 0x18);
    *(__be16 *)(payload + 12) = bpf_htons(flags);
    tcp->window = bpf_htons(0xffff);
    tcp->check = 0;
    tcp->urg_ptr = 0;
    const __u64 number = bpf_cpu_to_be64(piece->number);
    *(__u64 *)(payload + 20) = number;
    tcp->check = checksum(
        addresses + bpf_htons(IPPROTO_TCP) + bpf_htons(piece->payload) + tcp->source + tcp->dest + sum4(tcp->seq) +
        sum4(tcp->ack_seq) + bpf_htons(flags) + 0xffff + sum8(number) + pattern_sum(piece->payload - 28));
    *sequence += piece->payload - 20 + opens + closes;
}

SEC("xdp")
int generate(struct xdp_md *context) {
    // The kernel makes as many frames as it was asked for; those beyond the last packet are none.
    if (state.number >= state.limit || state.flows == 0) return XDP_DROP;
    state.thread = bpf_get_current_pid_tgid();
    struct piece piece;
    next(&piece);

    void *data = (void *)(long)context->data, *end = (void *)(long)context->data_end;
    void *network = data + (state.link_length & 31);
    // All is written while the frame has its full length, so that short packets need no care of their own.
    if (data + 24 > end || network + 96 > end) return XDP_ABORTED;
    __u64 *link = data;
    for (int word = 0; word < 3; word++) link[word] = ((__u64 *)state.link)[word];
    __u32 headers = network_length();
    __u64 addresses;
    if (state.version == 4) {
        addresses = write_ipv4(network, &piece);
    } else {
        addresses = write_ipv6(network, &piece);
    }
    if (state.protocol == IPPROTO_TCP) {
        if (state.version == 4) write_tcp(network + 20, &piece, addresses);
        else write_tcp(network + 40, &piece, addresses);
    } else if (state.version == 4) {
        write_udp(network + 20, &piece, addresses);
    } else if (piece.is_fragment) {
        headers += sizeof(struct fragment_header);
        write_udp(network + 48, &piece, addresses);
    } else {
        write_udp(network + 40, &piece, addresses);
    }
    const __u32 length = state.link_length + headers + piece.length;
    if (length < state.room && bpf_xdp_adjust_tail(context, (int)length - (int)state.room)) return XDP_ABORTED;
    state.made += 1;
    state.made_bytes += length;
    return bpf_redirect(state.interface, 0);
}

/// Lets everything pass. A driver that takes redirected frames only beside a program gets this one.
SEC("xdp.frags")
int helper(struct xdp_md *context) { return XDP_PASS; }

// What became of the frames is seen at tracepoints only: a redirect says yes before the driver has been asked.

struct net_device {
    int ifindex;
} __attribute__((preserve_access_index));

static __always_inline _Bool is_ours(int interface) {
    return state.thread == bpf_get_current_pid_tgid() && interface == (int)state.interface;
}

static __always_inline void note(long error) {
    if (error < 0 && !state.error) state.error = (__s32)-error;
}

SEC("tp_btf/xdp_devmap_xmit")
int count_sent(__u64 *arguments) {
    const struct net_device *to = (const struct net_device *)arguments[1];
    if (!is_ours(to->ifindex)) return 0;
    const int sent = (int)arguments[2], dropped = (int)arguments[3];
    if (sent > 0) state.sent += (__u64)sent;
    if (dropped > 0) state.dropped += (__u64)dropped;
    note((int)arguments[4]);
    return 0;
}

SEC("tp_btf/xdp_redirect_err")
int count_refused(__u64 *arguments) {
    if (state.thread != bpf_get_current_pid_tgid()) return 0;
    state.refused += 1;
    note((int)arguments[3]);
    return 0;
}
