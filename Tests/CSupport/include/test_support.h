// What tests need of the kernel that Swift cannot say: variadic calls.
#ifndef SPILLWAY_TEST_SUPPORT_H
#define SPILLWAY_TEST_SUPPORT_H

/// Makes a TUN interface of this name (raw IP, no link header) that exists while the returned descriptor is open; -errno.
int spillway_test_open_tun(const char *name);

/// Mounts an empty directory as a FUSE file system whose requests the returned descriptor of /dev/fuse brings; -errno.
int spillway_test_mount_fuse(const char *mountpoint);

/// Takes a mount out of sight (umount2(2), MNT_DETACH); -errno.
int spillway_test_unmount(const char *mountpoint);

#endif
