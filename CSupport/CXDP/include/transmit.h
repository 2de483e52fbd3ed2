// Putting frames on a wire: AF_XDP sockets that only send, and packet sockets.
#ifndef SPILLWAY_CXDP_TRANSMIT_H
#define SPILLWAY_CXDP_TRANSMIT_H

#include <stddef.h>
#include <stdint.h>

#ifndef SPILLWAY_XDP_NO_LOCKS
#define SPILLWAY_XDP_NO_LOCKS
#endif

/// Has the kernel send what is in the transmit ring (sendto(2)). 0, or -errno: EAGAIN and ENOBUFS say later, EBUSY that the driver
/// threw one frame away.
SPILLWAY_XDP_NO_LOCKS int spillway_transmit_kick(int socket);

/// A packet socket that receives nothing and sends whole frames out of an interface. The socket, or -errno.
int spillway_transmit_packet_socket(int interface);

/// Sends frames that lie at `memory + addresses[n]` by sendmmsg(2), at most 64. How many, or -errno.
SPILLWAY_XDP_NO_LOCKS int spillway_transmit_packets(
    int socket, const void *memory, const uint64_t *addresses, const uint32_t *lengths, uint32_t count);

/// Has the kernel wake this thread as exactly as it can (PR_SET_TIMERSLACK, 1 ns instead of 50 us).
void spillway_transmit_be_punctual(void);

#endif
