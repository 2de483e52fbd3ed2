// BLAKE3 with sixteen lanes: AVX-512, whose rotations and permutations of two registers are one instruction each.
#if defined(__x86_64__)
#define LANES 16
#define LANES_NAME spillway_blake3_16
#define LANES_TARGET __attribute__((target("avx512f,avx512vl")))
#define LANES_LIST(X)                                                                                                  \
    X(0), X(1), X(2), X(3), X(4), X(5), X(6), X(7), X(8), X(9), X(10), X(11), X(12), X(13), X(14), X(15)
#include "blake3_lanes.h"
#endif
