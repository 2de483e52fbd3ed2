#include "cxdp.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/ethtool.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

// Headers of Debian 12 (Linux 6.1) do not know multi-buffer packets (Linux 6.6, Documentation/networking/af_xdp.rst).
#ifndef XDP_USE_SG
#define XDP_USE_SG (1 << 4)
#endif
// Nor programs for one device (Linux 6.3, Documentation/networking/xdp-rx-metadata.rst).
#ifndef BPF_F_XDP_DEV_BOUND_ONLY
#define BPF_F_XDP_DEV_BOUND_ONLY (1U << 6)
#endif

// ---- the program -------------------------------------------------------------------------------------------------

static inline int spillway_xdp_map(struct bpf_object *object, const char *name) {
    struct bpf_map *map = bpf_object__find_map_by_name(object, name);
    return map ? dup(bpf_map__fd(map)) : -ENOENT;
}

static inline int spillway_xdp_say_nothing(enum libbpf_print_level level, const char *format, va_list arguments) {
    (void)level, (void)format, (void)arguments;
    return 0;
}

// Gives the maps their sizes; those of the selective filter are made only where there is one.
static inline int spillway_xdp_size_maps(struct bpf_object *object, const struct spillway_xdp_request *request) {
    const _Bool selects = request->filter.selects;
    const struct {
        const char *name;
        uint32_t entries;
        _Bool is_made;
    } sizes[] = {
        {SPILLWAY_MAP_SOCKETS, request->queues, 1},
        {SPILLWAY_MAP_COUNTS, request->queues * SPILLWAY_VERDICTS, 1},
        {SPILLWAY_MAP_PREFIXES4, request->prefixes4 ? request->prefixes4 : 1, selects},
        {SPILLWAY_MAP_PREFIXES6, request->prefixes6 ? request->prefixes6 : 1, selects},
        {SPILLWAY_MAP_PORTS, SPILLWAY_PORTS, selects},
        {SPILLWAY_MAP_PROTOCOLS, SPILLWAY_PROTOCOLS, selects},
    };
    for (size_t place = 0; place < sizeof sizes / sizeof *sizes; place++) {
        struct bpf_map *map = bpf_object__find_map_by_name(object, sizes[place].name);
        if (!map) return -ENOENT;
        int status = bpf_map__set_max_entries(map, sizes[place].entries);
        if (status == 0) status = bpf_map__set_autocreate(map, sizes[place].is_made);
        if (status != 0) return status;
    }
    struct bpf_map *constants = bpf_object__find_map_by_name(object, SPILLWAY_CONSTANTS);
    if (!constants) return -ENOENT;
    return bpf_map__set_initial_value(constants, &request->filter, sizeof request->filter);
}

static inline int spillway_xdp_load_once(
    const struct spillway_xdp_request *request, _Bool with_errors, struct spillway_xdp_program *result) {
    struct bpf_object *object = bpf_object__open_mem(request->bytes, request->length, NULL);
    if (!object) return errno ? -errno : -EINVAL;
    struct bpf_program *wanted = NULL, *errors = NULL, *program;
    bpf_object__for_each_program(program, object) {
        const char *name = bpf_program__name(program);
        const _Bool is_errors = strcmp(name, SPILLWAY_PROGRAM_ERRORS) == 0;
        const _Bool is_wanted =
            strcmp(name, request->with_fragments ? SPILLWAY_PROGRAM_FRAGMENTS : SPILLWAY_PROGRAM_PLAIN) == 0;
        bpf_program__set_autoload(program, is_wanted || (is_errors && with_errors));
        if (is_wanted) wanted = program;
        if (is_errors) errors = program;
    }
    int status = wanted && errors ? spillway_xdp_size_maps(object, request) : -ENOENT;
    if (status == 0 && request->card_interface) {
        bpf_program__set_ifindex(wanted, (uint32_t)request->card_interface);
        status = bpf_program__set_flags(wanted, bpf_program__flags(wanted) | BPF_F_XDP_DEV_BOUND_ONLY);
    }
    if (status == 0) status = bpf_object__load(object);
    if (status == 0) {
        // Copies of the descriptors outlive the object, which libbpf closes with its own.
        result->program = dup(bpf_program__fd(wanted));
        result->sockets = spillway_xdp_map(object, SPILLWAY_MAP_SOCKETS);
        result->counts = spillway_xdp_map(object, SPILLWAY_MAP_COUNTS);
        result->own = spillway_xdp_map(object, SPILLWAY_MAP_OWN);
        result->addresses = spillway_xdp_map(object, SPILLWAY_MAP_ADDRESSES);
        result->station = spillway_xdp_map(object, SPILLWAY_MAP_STATION);
        const _Bool selects = request->filter.selects;
        result->prefixes4 = selects ? spillway_xdp_map(object, SPILLWAY_MAP_PREFIXES4) : -1;
        result->prefixes6 = selects ? spillway_xdp_map(object, SPILLWAY_MAP_PREFIXES6) : -1;
        result->ports = selects ? spillway_xdp_map(object, SPILLWAY_MAP_PORTS) : -1;
        result->protocols = selects ? spillway_xdp_map(object, SPILLWAY_MAP_PROTOCOLS) : -1;
        // Until this descriptor is closed.
        result->errors = with_errors ? bpf_raw_tracepoint_open(NULL, bpf_program__fd(errors)) : -1;
        const int needed[] = {
            result->program, result->sockets, result->counts, result->own, result->addresses, result->station,
            selects ? result->prefixes4 : 0, selects ? result->prefixes6 : 0, selects ? result->ports : 0,
            selects ? result->protocols : 0,
        };
        for (size_t place = 0; place < sizeof needed / sizeof *needed; place++)
            if (needed[place] < 0) status = -EMFILE;
        if (status != 0) spillway_xdp_unload(result);
    }
    bpf_object__close(object);
    return status;
}

// Whether the process has too few descriptors left for what it takes to load a program. libbpf then looks in vain what the
// kernel can do, and says that something is invalid.
static _Bool spillway_xdp_lacks_descriptors(void) {
    int taken[24];
    size_t count = 0;
    while (count < sizeof taken / sizeof *taken && (taken[count] = eventfd(0, EFD_CLOEXEC)) >= 0) count++;
    const _Bool lacks = count < sizeof taken / sizeof *taken && errno == EMFILE;
    while (count > 0) close(taken[--count]);
    return lacks;
}

int spillway_xdp_load(const struct spillway_xdp_request *request, struct spillway_xdp_program *result) {
    libbpf_set_print(spillway_xdp_say_nothing);
    // Without the tracepoint the rest works as well: it takes the kernel's BTF.
    if (spillway_xdp_load_once(request, 1, result) == 0) return 0;
    if (spillway_xdp_lacks_descriptors()) return EMFILE;
    return -spillway_xdp_load_once(request, 0, result);
}

void spillway_xdp_unload(const struct spillway_xdp_program *program) {
    const int all[] = {
        program->errors, program->program, program->sockets, program->counts, program->own, program->addresses,
        program->station, program->prefixes4, program->prefixes6, program->ports, program->protocols,
    };
    for (size_t place = 0; place < sizeof all / sizeof *all; place++)
        if (all[place] >= 0) close(all[place]);
}

uint32_t spillway_xdp_map_number(int map) {
    struct bpf_map_info info;
    memset(&info, 0, sizeof info);
    uint32_t length = sizeof info;
    return bpf_obj_get_info_by_fd(map, &info, &length) == 0 ? info.id : 0;
}

int spillway_xdp_set(int map, const void *key, const void *value) {
    return bpf_map_update_elem(map, key, value, BPF_ANY) == 0 ? 0 : errno;
}

int spillway_xdp_judge(int program, const void *frame, uint32_t length, uint32_t *verdict) {
    LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame, .data_size_in = length, .repeat = 1);
    if (bpf_prog_test_run_opts(program, &options) != 0) return errno;
    *verdict = options.retval;
    return 0;
}

int spillway_xdp_attach(int interface, int program, _Bool in_driver) {
    LIBBPF_OPTS(bpf_link_create_opts, options, .flags = in_driver ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE);
    const int link = bpf_link_create(program, interface, BPF_XDP, &options);
    return link >= 0 ? link : -errno;
}

void spillway_xdp_detach(int link) {
    // Closing alone would leave it to the kernel when.
    bpf_link_detach(link);
    close(link);
}

_Bool spillway_xdp_is_attached(int link) {
    struct bpf_link_info info;
    memset(&info, 0, sizeof info);
    uint32_t length = sizeof info;
    return bpf_obj_get_info_by_fd(link, &info, &length) != 0 || info.xdp.ifindex != 0;
}

int spillway_xdp_query(int interface, struct spillway_xdp_present *present) {
    LIBBPF_OPTS(bpf_xdp_query_opts, options);
    memset(present, 0, sizeof *present);
    const int status = bpf_xdp_query(interface, 0, &options);
    if (status < 0) return -status;
    present->identifier = options.drv_prog_id ? options.drv_prog_id
        : options.skb_prog_id                 ? options.skb_prog_id
                                              : options.hw_prog_id;
    if (present->identifier == 0) return 0;
    const int program = bpf_prog_get_fd_by_id(present->identifier);
    if (program < 0) return 0;
    struct bpf_prog_info info;
    memset(&info, 0, sizeof info);
    uint32_t length = sizeof info;
    if (bpf_obj_get_info_by_fd(program, &info, &length) == 0) memcpy(present->name, info.name, sizeof present->name);
    present->name[sizeof present->name - 1] = 0;
    close(program);
    return 0;
}

uint64_t spillway_xdp_count(int counts, uint32_t queue, uint32_t verdict, uint64_t *room, int processors) {
    const uint32_t key = queue * SPILLWAY_VERDICTS + verdict;
    if (bpf_map_lookup_elem(counts, &key, room) != 0) return 0;
    uint64_t sum = 0;
    for (int processor = 0; processor < processors; processor++) sum += room[processor];
    return sum;
}

int spillway_xdp_mark(int map, const void *key, _Bool is_there) {
    const uint8_t one = 1;
    const int status = is_there ? bpf_map_update_elem(map, key, &one, BPF_ANY) : bpf_map_delete_elem(map, key);
    return status < 0 ? errno : 0;
}

int spillway_xdp_set_socket(int sockets, uint32_t queue, int socket) {
    const int status = socket >= 0 ? bpf_map_update_elem(sockets, &queue, &socket, BPF_ANY)
                                   : bpf_map_delete_elem(sockets, &queue);
    return status < 0 ? errno : 0;
}

// ---- the socket --------------------------------------------------------------------------------------------------

int spillway_xdp_socket(void) { return socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0); }

int spillway_xdp_control_socket(void) { return socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0); }

static int set_ring(int socket, int option, uint32_t entries) {
    return setsockopt(socket, SOL_XDP, option, &entries, sizeof entries) == 0 ? 0 : errno;
}

int spillway_xdp_set_up(int socket, void *memory, uint64_t length, uint32_t chunk, struct spillway_xdp_rings rings) {
    // The layout every kernel with AF_XDP understands: address, length, chunk size, headroom, flags.
    struct xdp_umem_reg region;
    memset(&region, 0, sizeof region);
    region.addr = (uint64_t)(uintptr_t)memory;
    region.len = length;
    region.chunk_size = chunk;
    if (setsockopt(socket, SOL_XDP, XDP_UMEM_REG, &region, sizeof region) != 0) return errno;
    // The kernel wants these two even where only one direction is used.
    int status = set_ring(socket, XDP_UMEM_FILL_RING, rings.fill);
    if (status == 0) status = set_ring(socket, XDP_UMEM_COMPLETION_RING, rings.completion);
    if (status == 0 && rings.receive > 0) status = set_ring(socket, XDP_RX_RING, rings.receive);
    if (status == 0 && rings.transmit > 0) status = set_ring(socket, XDP_TX_RING, rings.transmit);
    return status;
}

int spillway_xdp_offsets(int socket, struct xdp_mmap_offsets *offsets) {
    socklen_t length = sizeof *offsets;
    return getsockopt(socket, SOL_XDP, XDP_MMAP_OFFSETS, offsets, &length) == 0 ? 0 : errno;
}

void *spillway_xdp_map_ring(int socket, size_t length, int64_t place) {
    void *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, socket, place);
    return memory == MAP_FAILED ? NULL : memory;
}

int spillway_xdp_bind(int socket, int interface, uint32_t queue, _Bool zero_copy, _Bool fragments) {
    struct sockaddr_xdp address;
    memset(&address, 0, sizeof address);
    address.sxdp_family = AF_XDP;
    address.sxdp_ifindex = (uint32_t)interface;
    address.sxdp_queue_id = queue;
    address.sxdp_flags = (uint16_t)(XDP_USE_NEED_WAKEUP | (zero_copy ? XDP_ZEROCOPY : XDP_COPY) |
                                    (fragments ? XDP_USE_SG : 0));
    return bind(socket, (struct sockaddr *)&address, sizeof address) == 0 ? 0 : errno;
}

int spillway_xdp_is_zero_copy(int socket) {
    struct xdp_options options;
    socklen_t length = sizeof options;
    if (getsockopt(socket, SOL_XDP, XDP_OPTIONS, &options, &length) != 0) return -errno;
    return (options.flags & XDP_OPTIONS_ZEROCOPY) != 0;
}

// ---- the interface -----------------------------------------------------------------------------------------------

int spillway_xdp_ask(int socket, int interface, unsigned long question, struct ifreq *request) {
    // The calls go by name, and an interface that is renamed under way keeps its index only. While the kernel renames it,
    // which takes some milliseconds, there is neither name to be found.
    for (int turn = 0; turn < 20; turn++) {
        struct ifreq name = {.ifr_ifindex = interface};
        if (ioctl(socket, SIOCGIFNAME, &name) != 0) return errno;
        memcpy(request->ifr_name, name.ifr_name, IFNAMSIZ);
        if (ioctl(socket, question, request) == 0) return 0;
        if (errno != ENODEV) return errno;
        usleep(5000);
    }
    return EAGAIN;
}

int spillway_xdp_flags(int socket, int interface) {
    struct ifreq request = {0};
    const int status = spillway_xdp_ask(socket, interface, SIOCGIFFLAGS, &request);
    return status == 0 ? (unsigned short)request.ifr_flags : -status;
}

uint32_t spillway_xdp_queues(int socket, int interface, uint32_t *most) {
    struct ethtool_channels channels = {.cmd = ETHTOOL_GCHANNELS};
    struct ifreq request = {.ifr_data = (char *)&channels};
    *most = 1;
    if (spillway_xdp_ask(socket, interface, SIOCETHTOOL, &request) != 0) return 1;
    const uint32_t now = channels.rx_count + channels.combined_count;
    const uint32_t queues = now ? now : 1;
    // Drivers have either kind, or some of both; more than this cannot be.
    const uint32_t limit = channels.max_rx + channels.max_combined;
    *most = limit > queues ? limit : queues;
    return queues;
}

int spillway_xdp_mtu(int socket, int interface) {
    struct ifreq request = {0};
    const int status = spillway_xdp_ask(socket, interface, SIOCGIFMTU, &request);
    return status == 0 ? request.ifr_mtu : -status;
}

int spillway_xdp_station(int socket, int interface, struct spillway_station *station) {
    struct ifreq request = {0};
    const int status = spillway_xdp_ask(socket, interface, SIOCGIFHWADDR, &request);
    if (status != 0) return -status;
    memset(station, 0, sizeof *station);
    memcpy(station->address, request.ifr_hwaddr.sa_data, sizeof station->address);
    return request.ifr_hwaddr.sa_family;
}

static int spillway_xdp_flag_value(int socket, int interface, struct ethtool_value *value) {
    struct ifreq request = {.ifr_data = (char *)value};
    return spillway_xdp_ask(socket, interface, SIOCETHTOOL, &request);
}

int spillway_xdp_strips_tags(int socket, int interface) {
    struct ethtool_value value = {.cmd = ETHTOOL_GFLAGS};
    const int status = spillway_xdp_flag_value(socket, interface, &value);
    return status ? -status : (value.data & ETH_FLAG_RXVLAN) != 0;
}

int spillway_xdp_strip_tags(int socket, int interface, _Bool strips) {
    struct ethtool_value value = {.cmd = ETHTOOL_GFLAGS};
    const int status = spillway_xdp_flag_value(socket, interface, &value);
    if (status) return status;
    value.cmd = ETHTOOL_SFLAGS;
    value.data = strips ? value.data | ETH_FLAG_RXVLAN : value.data & ~(uint32_t)ETH_FLAG_RXVLAN;
    return spillway_xdp_flag_value(socket, interface, &value);
}

int spillway_xdp_promiscuous(int interface) {
    const int socket_number = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    if (socket_number < 0) return -errno;
    struct packet_mreq request = {.mr_ifindex = interface, .mr_type = PACKET_MR_PROMISC};
    if (setsockopt(socket_number, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &request, sizeof request) == 0)
        return socket_number;
    const int error = errno;
    close(socket_number);
    return -error;
}

int spillway_xdp_claim(int interface) {
    const int socket_number = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (socket_number < 0) return -errno;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const int length = snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "spillway-xdp-%d", interface);
    const socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
    if (bind(socket_number, (struct sockaddr *)&address, size) == 0) return socket_number;
    const int error = errno;
    close(socket_number);
    return -error;
}

int64_t spillway_xdp_tai_offset(void) {
    struct timespec utc, tai;
    clock_gettime(CLOCK_REALTIME, &utc);
    clock_gettime(11 /* CLOCK_TAI */, &tai);
    const int64_t difference = (tai.tv_sec - utc.tv_sec) * 1000000000ll + (tai.tv_nsec - utc.tv_nsec);
    return (difference + 500000000ll) / 1000000000ll * 1000000000ll;
}

void spillway_xdp_lift_memory_limit(void) {
    const struct rlimit none = {RLIM_INFINITY, RLIM_INFINITY};
    setrlimit(RLIMIT_MEMLOCK, &none);
}

int spillway_xdp_set_station(int map, const struct spillway_station *station) {
    const uint32_t key = 0;
    return bpf_map_update_elem(map, &key, station, BPF_ANY) == 0 ? 0 : errno;
}

int spillway_xdp_processors(void) { return libbpf_num_possible_cpus(); }
