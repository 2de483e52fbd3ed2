// What tests need of the kernel that Swift cannot say: variadic calls.
#ifndef SPILLWAY_TEST_SUPPORT_H
#define SPILLWAY_TEST_SUPPORT_H

/// Makes a TUN interface of this name (raw IP, no link header) that exists while the returned descriptor is open; -errno.
int spillway_test_open_tun(const char *name);

#endif
