// BLAKE3 with eight lanes: AVX2.
#if defined(__x86_64__)
#define LANES 8
#define LANES_NAME spillway_blake3_8
#define LANES_TARGET __attribute__((target("avx2")))
#define LANES_LIST(X) X(0), X(1), X(2), X(3), X(4), X(5), X(6), X(7)
#include "blake3_lanes.h"
#endif
