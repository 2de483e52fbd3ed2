// The least XDP programs for the references: one stamps and redirects, one drops.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
    __uint(type, BPF_MAP_TYPE_XSKMAP);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, __u32);
} sockets SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, __u64);
} seen SEC(".maps");

static __always_inline void count(void) {
    const __u32 place = 0;
    __u64 *counter = bpf_map_lookup_elem(&seen, &place);
    if (counter) *counter += 1;
}

SEC("xdp")
int reference_redirect(struct xdp_md *context) {
    const __u64 arrival = bpf_ktime_get_tai_ns();
    count();
    if (bpf_xdp_adjust_meta(context, -(int)sizeof arrival) == 0) {
        __u64 *stamp = (void *)(long)context->data_meta;
        if ((void *)(stamp + 1) <= (void *)(long)context->data) *stamp = arrival;
    }
    return bpf_redirect_map(&sockets, context->rx_queue_index, XDP_DROP);
}

SEC("xdp")
int reference_drop(struct xdp_md *context) {
    (void)context;
    count();
    return XDP_DROP;
}

char program_license[] SEC("license") = "Apache-2.0";
