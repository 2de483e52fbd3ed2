// What is set on an interface or a socket for speed or exactness, and taken back at the end.
#include "cxdp.h"

#include <linux/net_tstamp.h>
#include <linux/sockios.h>
#include <net/if.h>

// Headers of Debian 12 have them; older C libraries do not.
#ifndef SO_PREFER_BUSY_POLL
#define SO_PREFER_BUSY_POLL 69
#define SO_BUSY_POLL_BUDGET 70
#endif

static inline int spillway_xdp_stamps(
    int socket, int interface, unsigned long question, struct hwtstamp_config *config) {
    struct ifreq request = {.ifr_data = (char *)config};
    return spillway_xdp_ask(socket, interface, question, &request);
}

int spillway_xdp_stamp_in_card(int socket, int interface, struct spillway_card_stamps *before) {
    struct hwtstamp_config config = {0};
    memset(before, 0, sizeof *before);
    int status = spillway_xdp_stamps(socket, interface, SIOCGHWTSTAMP, &config);
    if (status != 0) return status;
    if (config.rx_filter == HWTSTAMP_FILTER_ALL) return 0;
    *before = (struct spillway_card_stamps){1, config.flags, config.tx_type, config.rx_filter};
    config.rx_filter = HWTSTAMP_FILTER_ALL;
    status = spillway_xdp_stamps(socket, interface, SIOCSHWTSTAMP, &config);
    // The driver answers with what it does from now on.
    if (status == 0 && config.rx_filter != HWTSTAMP_FILTER_ALL) status = EOPNOTSUPP;
    if (status != 0) spillway_xdp_restore_stamps(socket, interface, before);
    if (status != 0) before->is_changed = 0;
    return status;
}

void spillway_xdp_restore_stamps(int socket, int interface, const struct spillway_card_stamps *before) {
    struct hwtstamp_config config = {before->flags, before->tx_type, before->rx_filter};
    if (before->is_changed) spillway_xdp_stamps(socket, interface, SIOCSHWTSTAMP, &config);
}

int spillway_xdp_busy_poll(int socket, int microseconds, int budget, const char **step) {
    const struct {
        const char *name;
        int option, value;
    } steps[] = {
        {"SO_PREFER_BUSY_POLL", SO_PREFER_BUSY_POLL, 1},
        {"SO_BUSY_POLL", SO_BUSY_POLL, microseconds},
        {"SO_BUSY_POLL_BUDGET", SO_BUSY_POLL_BUDGET, budget},
    };
    for (size_t place = 0; place < sizeof steps / sizeof *steps; place++) {
        const int value = steps[place].value;
        *step = steps[place].name;
        if (setsockopt(socket, SOL_SOCKET, steps[place].option, &value, sizeof value) != 0) return errno;
    }
    return 0;
}
