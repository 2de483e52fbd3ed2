// What the kernel knows of the other end of a TCP connection. In a file of its own because <linux/tcp.h>, which alone has all of
// it, and <netinet/tcp.h> do not go together.

#include "cmachine.h"

#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/socket.h>

// Microseconds; a reader that can answer sooner has taken what it has acknowledged, and the rest stands before what comes next. On a
// longer way it is only under way.
enum { NEAR = 1000 };

long spillway_peer_room(int socket, uint64_t outstanding) {
    struct tcp_info info;
    socklen_t length = sizeof info;
    if (getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &length) != 0) return -(long)errno;
    // Linux before 5.4 does not say.
    if (length < offsetof(struct tcp_info, tcpi_snd_wnd) + sizeof info.tcpi_snd_wnd) return -ENOTSUP;
    uint64_t waiting = info.tcpi_min_rtt < NEAR ? outstanding : info.tcpi_notsent_bytes;
    return info.tcpi_snd_wnd > waiting ? (long)(info.tcpi_snd_wnd - waiting) : 0;
}
