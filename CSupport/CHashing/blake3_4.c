// BLAKE3 with four lanes, which every processor has.
#define LANES 4
#define LANES_NAME spillway_blake3_4
#define LANES_TARGET
#define LANES_LIST(X) X(0), X(1), X(2), X(3)
#include "blake3_lanes.h"
