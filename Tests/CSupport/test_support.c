#include "test_support.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <unistd.h>

int spillway_test_open_tun(const char *name) {
    int descriptor = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (descriptor < 0) return -errno;
    struct ifreq request = {0};
    strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    request.ifr_flags = IFF_TUN | IFF_NO_PI;
    if (ioctl(descriptor, TUNSETIFF, &request) == 0) return descriptor;
    int code = errno;
    close(descriptor);
    return -code;
}

int spillway_test_mount_fuse(const char *mountpoint) {
    int descriptor = open("/dev/fuse", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (descriptor < 0) return -errno;
    char options[64];
    snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", descriptor);
    if (mount("spillway-test", mountpoint, "fuse", MS_NOSUID | MS_NODEV, options) == 0) return descriptor;
    int code = errno;
    close(descriptor);
    return -code;
}

int spillway_test_unmount(const char *mountpoint) {
    return umount2(mountpoint, MNT_DETACH) == 0 ? 0 : -errno;
}
