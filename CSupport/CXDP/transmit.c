#define _GNU_SOURCE
#include "cxdp.h"

#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <sys/prctl.h>
#include <unistd.h>

int spillway_transmit_kick(int socket) {
    return sendto(socket, NULL, 0, MSG_DONTWAIT, NULL, 0) >= 0 ? 0 : -errno;
}

int spillway_transmit_packet_socket(int interface) {
    const int made = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    if (made < 0) return -errno;
    struct sockaddr_ll address;
    memset(&address, 0, sizeof address);
    address.sll_family = AF_PACKET;
    address.sll_ifindex = interface;
    if (bind(made, (struct sockaddr *)&address, sizeof address) != 0) {
        const int status = -errno;
        close(made);
        return status;
    }
    return made;
}

int spillway_transmit_packets(
    int socket, const void *memory, const uint64_t *addresses, const uint32_t *lengths, uint32_t count) {
    struct mmsghdr messages[64];
    struct iovec parts[64];
    if (count > 64) count = 64;
    memset(messages, 0, sizeof messages[0] * count);
    for (uint32_t place = 0; place < count; place++) {
        parts[place].iov_base = (char *)memory + addresses[place];
        parts[place].iov_len = lengths[place];
        messages[place].msg_hdr.msg_iov = &parts[place];
        messages[place].msg_hdr.msg_iovlen = 1;
    }
    const int sent = sendmmsg(socket, messages, count, MSG_DONTWAIT);
    return sent >= 0 ? sent : -errno;
}

void spillway_transmit_be_punctual(void) { prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL); }
