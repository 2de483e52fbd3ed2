// IPv4 fragments through DPDK's ip_frag library, the counterpart of ReassemblyBench --sink memory: frames lie in mbufs
// before the clock starts, and each datagram is a chain of mbufs. With --copy each datagram is also copied into one piece of
// memory, as it must be before it can be written or sent as a record.
#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_ip_frag.h>
#include <rte_mbuf.h>

enum { turn = 1024, most_fragments = 8 };

static uint64_t thread_nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static struct rte_mbuf *make(struct rte_mempool *pool, unsigned place, uint16_t id, unsigned data, unsigned number,
                             unsigned fragments) {
    struct rte_mbuf *mbuf = rte_pktmbuf_alloc(pool);
    if (mbuf == NULL) return NULL;
    char *frame = rte_pktmbuf_append(mbuf, 34 + data);
    memset(frame, (int)(place & 255), 34 + data);
    struct rte_ether_hdr *ether = (struct rte_ether_hdr *)frame;
    ether->ether_type = rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4);
    struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)(frame + 14);
    memset(ip, 0, sizeof *ip);
    ip->version_ihl = 0x45;
    ip->total_length = rte_cpu_to_be_16((uint16_t)(20 + data));
    ip->packet_id = id;
    uint16_t field = (uint16_t)(number * data / 8) | (number + 1 < fragments ? RTE_IPV4_HDR_MF_FLAG : 0);
    ip->fragment_offset = rte_cpu_to_be_16(field);
    ip->time_to_live = 64;
    ip->next_proto_id = 17;
    ip->src_addr = rte_cpu_to_be_32(0x0A000000u | place);
    ip->dst_addr = rte_cpu_to_be_32(0x0A010000u | place);
    mbuf->l2_len = 14;
    mbuf->l3_len = 20;
    return mbuf;
}

int main(int argc, char **argv) {
    unsigned size = 1514, fragments = 3, together = 1, datagrams = 300000;
    bool copies = false;
    const char *cpu = "0";
    static const struct option names[] = {{"size", 1, 0, 's'},     {"fragments", 1, 0, 'f'}, {"together", 1, 0, 't'},
                                          {"datagrams", 1, 0, 'd'}, {"copy", 0, 0, 'c'},      {"cpu", 1, 0, 'p'},
                                          {0, 0, 0, 0}};
    for (int name; (name = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        switch (name) {
        case 's': size = (unsigned)atoi(optarg); break;
        case 'f': fragments = (unsigned)atoi(optarg); break;
        case 't': together = (unsigned)atoi(optarg); break;
        case 'd': datagrams = (unsigned)atoi(optarg); break;
        case 'c': copies = true; break;
        case 'p': cpu = optarg; break;
        default: return 64;
        }
    }
    if (size < 74 || size > 1514 || fragments < 2 || fragments > most_fragments || together < 1 || turn % together) {
        fprintf(stderr, "reassembly_dpdk: --together divides %d, --fragments up to %d\n", turn, most_fragments);
        return 64;
    }
    char *eal[] = {(char *)"bench", (char *)"-l", (char *)cpu, "--no-huge", "--no-pci", "--no-shconf", "-m", "256", "--log-level", "4",
                   "--no-telemetry"};
    if (rte_eal_init(sizeof eal / sizeof *eal, eal) < 0) return 70;
    struct rte_mempool *pool =
        rte_pktmbuf_pool_create("frames", turn * most_fragments + 1024, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0);
    uint64_t cycles = rte_get_tsc_hz() * 30;
    // As many places as ours in 16 MiB, in buckets of 16.
    struct rte_ip_frag_tbl *table = rte_ip_frag_table_create(1024, 16, 1024 * 16, cycles, 0);
    char *target = aligned_alloc(4096, 4 << 20);
    struct rte_mbuf **frames = calloc(turn * most_fragments, sizeof *frames);
    if (pool == NULL || table == NULL || target == NULL || frames == NULL) return 70;
    memset(target, 0, 4 << 20);
    struct rte_ip_frag_death_row row = {.cnt = 0};
    unsigned data = (size - 34) & ~7u;
    uint64_t used = 0, made = 0;
    uint16_t id = 0;
    // The first turn warms up.
    for (unsigned done = 0; done < datagrams + turn; done += turn) {
        unsigned count = 0;
        for (unsigned first = 0; first < turn; first += together, id = (uint16_t)(id + together))
            for (unsigned number = 0; number < fragments; number++)
                for (unsigned place = 0; place < together; place++) {
                    frames[count] = make(pool, place, (uint16_t)(id + place), data, number, fragments);
                    if (frames[count++] == NULL) return 70;
                }
        uint64_t start = thread_nanoseconds(), before = made;
        for (unsigned index = 0; index < count; index++) {
            struct rte_mbuf *mbuf = frames[index];
            struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod_offset(mbuf, struct rte_ipv4_hdr *, 14);
            if (!rte_ipv4_frag_pkt_is_fragmented(ip)) continue;
            struct rte_mbuf *whole = rte_ipv4_frag_reassemble_packet(table, &row, mbuf, rte_rdtsc(), ip);
            if (whole == NULL) continue;
            if (copies) {
                char *to = target + ((made & 31) << 17);
                for (struct rte_mbuf *part = whole; part != NULL; part = part->next) {
                    memcpy(to, rte_pktmbuf_mtod(part, char *), part->data_len);
                    to += part->data_len;
                }
            }
            rte_pktmbuf_free(whole);
            made++;
        }
        if (done == 0) {
            made = before;
        } else {
            used += thread_nanoseconds() - start;
        }
        rte_ip_frag_free_death_row(&row, 0);
    }
    uint64_t expected = (uint64_t)((datagrams + turn - 1) / turn) * turn;
    if (made != expected) {
        fprintf(stderr, "reassembly_dpdk: %" PRIu64 " datagrams were made\n", made);
        return 70;
    }
    printf("packets %" PRIu64 " packets\n", made * fragments);
    printf("cpu_ns_per_packet %g ns\n", (double)used / (double)(made * fragments));
    printf("cpu_ns_per_datagram %g ns\n", (double)used / (double)made);
    return 0;
}
