// The selective filter: which packets are taken from the stack. A part of spillway.bpf.c.
#ifndef SPILLWAY_SELECTION_BPF_H
#define SPILLWAY_SELECTION_BPF_H

// User space sets the number of entries of the first two before loading; without a filter none of these maps is made.
struct {
    __uint(type, BPF_MAP_TYPE_LPM_TRIE);
    __uint(max_entries, 1);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, struct spillway_prefix4);
    __type(value, struct spillway_ends);
} spw_prefixes4 SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_LPM_TRIE);
    __uint(max_entries, 1);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, struct spillway_prefix6);
    __type(value, struct spillway_ends);
} spw_prefixes6 SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, SPILLWAY_PORTS);
    __type(key, __u32);
    __type(value, struct spillway_ends);
} spw_ports SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, SPILLWAY_PROTOCOLS);
    __type(key, __u32);
    __type(value, struct spillway_versions);
} spw_protocols SEC(".maps");

static __always_inline __u32 asks(__u32 what) { return spillway_filter.asks & what; }

static __always_inline __u32 met_by_prefixes4(const void *source, const void *destination) {
    struct spillway_prefix4 key;
    key.length = 32;
    __builtin_memcpy(key.address, source, 4);
    const struct spillway_ends *one = bpf_map_lookup_elem(&spw_prefixes4, &key);
    __builtin_memcpy(key.address, destination, 4);
    const struct spillway_ends *other = bpf_map_lookup_elem(&spw_prefixes4, &key);
    return (one ? one->as_source : 0) | (other ? other->as_destination : 0);
}

static __always_inline __u32 met_by_prefixes6(const void *source, const void *destination) {
    struct spillway_prefix6 key;
    key.length = 128;
    __builtin_memcpy(key.address, source, 16);
    const struct spillway_ends *one = bpf_map_lookup_elem(&spw_prefixes6, &key);
    __builtin_memcpy(key.address, destination, 16);
    const struct spillway_ends *other = bpf_map_lookup_elem(&spw_prefixes6, &key);
    return (one ? one->as_source : 0) | (other ? other->as_destination : 0);
}

static __always_inline const struct spillway_versions *versions(__u8 protocol) {
    const __u32 key = protocol;
    return bpf_map_lookup_elem(&spw_protocols, &key);
}

static __always_inline bool has_ports(__u8 protocol) {
    return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_SCTP;
}

// All functions below are false if the packet ends before the header.

static __always_inline bool meet_by_ports(struct cursor *position, __u32 *met) {
    __be16 *ports = position->at;
    if ((void *)(ports + 2) > position->end) return false;
    __u32 key = bpf_ntohs(ports[0]);
    const struct spillway_ends *one = bpf_map_lookup_elem(&spw_ports, &key);
    if (one) *met |= one->as_source;
    key = bpf_ntohs(ports[1]);
    const struct spillway_ends *other = bpf_map_lookup_elem(&spw_ports, &key);
    if (other) *met |= other->as_destination;
    return true;
}

static __always_inline bool meet_by_ipv4(struct cursor *position, __u32 *met) {
    *met |= spillway_filter.of_ipv4;
    if (!spillway_filter.asks) return true;
    TAKE(struct iphdr, header);
    if (asks(SPILLWAY_ASKS_ADDRESSES)) *met |= met_by_prefixes4(&header->saddr, &header->daddr);
    if (asks(SPILLWAY_ASKS_PROTOCOLS)) {
        const struct spillway_versions *over = versions(header->protocol);
        if (over) *met |= over->over_ipv4;
    }
    if (!asks(SPILLWAY_ASKS_PORTS) || !has_ports(header->protocol)) return true;
    // A later fragment has no ports.
    if (header->frag_off & bpf_htons(0x1fff)) return true;
    position->at += header->ihl * 4;
    return meet_by_ports(position, met);
}

// As in libpcap only ports right behind the fixed header are found, and protocols there or behind a fragment header.
static __always_inline bool meet_by_ipv6(struct cursor *position, __u32 *met) {
    *met |= spillway_filter.of_ipv6;
    if (!spillway_filter.asks) return true;
    TAKE(struct ipv6hdr, header);
    position->at = header + 1;
    if (asks(SPILLWAY_ASKS_ADDRESSES)) *met |= met_by_prefixes6(&header->saddr, &header->daddr);
    if (asks(SPILLWAY_ASKS_PROTOCOLS)) {
        const struct spillway_versions *over = versions(header->nexthdr);
        if (over) *met |= over->over_ipv6;
        if (header->nexthdr == IPPROTO_FRAGMENT) {
            TAKE(__u8, next);
            over = versions(*next);
            if (over) *met |= over->over_ipv6;
        }
    }
    if (!asks(SPILLWAY_ASKS_PORTS) || !has_ports(header->nexthdr)) return true;
    return meet_by_ports(position, met);
}

static __always_inline bool meet_by_arp(struct cursor *position, __u32 *met) {
    if (!asks(SPILLWAY_ASKS_ADDRESSES)) return true;
    TAKE(struct arp_ipv4, packet);
    *met |= met_by_prefixes4(packet->sender_address, packet->target_address);
    return true;
}

static __always_inline bool meet_by_packet(struct cursor *position, __u16 type, __u32 *met) {
    if (type == bpf_htons(ETH_P_IP)) return meet_by_ipv4(position, met);
    if (type == bpf_htons(ETH_P_IPV6)) return meet_by_ipv6(position, met);
    if (type != bpf_htons(ETH_P_ARP) && type != bpf_htons(ETH_P_RARP)) return true;
    *met |= type == bpf_htons(ETH_P_ARP) ? spillway_filter.of_arp : spillway_filter.of_rarp;
    return meet_by_arp(position, met);
}

// The tags that libpcap takes for VLAN tags.
static __always_inline bool is_tag(__u16 type) {
    return type == bpf_htons(ETH_P_8021Q) || type == bpf_htons(ETH_P_8021AD) || type == bpf_htons(ETH_P_QINQ1);
}

// Whether the filter selects the packet. One that ends before a header the filter asks about is not selected.
static __always_inline bool is_selected(struct xdp_md *context) {
    if (!spillway_filter.selects) return true;
    struct cursor place = {(void *)(long)context->data, (void *)(long)context->data_end};
    struct ethhdr *frame = place.at;
    if ((void *)(frame + 1) > place.end) return false;
    place.at = frame + 1;
    __u16 type = frame->h_proto;
#pragma unroll
    for (__u32 number = 0; number < SPILLWAY_TAGS_MAX; number++) {
        if (number >= spillway_filter.tags) break;
        struct vlan_tag *tag = place.at;
        if (!is_tag(type) || (void *)(tag + 1) > place.end) return false;
        const __u16 wanted = spillway_filter.tag[number];
        if (wanted != SPILLWAY_TAG_ANY && (bpf_ntohs(tag->control) & 0xfff) != wanted) return false;
        type = tag->type;
        place.at = tag + 1;
    }
    __u32 met = 0;
    if (!meet_by_packet(&place, type, &met)) return false;
#pragma unroll
    for (__u32 number = 0; number < SPILLWAY_CLAUSES_MAX; number++) {
        if (number >= spillway_filter.clauses) break;
        const __u32 any = spillway_filter.clause[number].met, none = spillway_filter.clause[number].unmet;
        if (!((met & any) | (~met & none))) return false;
    }
    return true;
}

#endif
