#include <pcap/pcap.h>

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

/// pcap_next_ex(3PCAP) on a non-blocking handle: with TPACKET_V3 it hands out a pointer into the mapped ring. It may
/// enter the kernel to give a block back, but neither locks nor allocates in user space.
SPILLWAY_PCAP_NO_LOCKS static inline int spillway_pcap_next(
    pcap_t *handle, struct pcap_pkthdr **header, const unsigned char **bytes) {
    return pcap_next_ex(handle, header, bytes);
}
