// A counting allocator for tests: every malloc, calloc, realloc and aligned allocation of the process, by thread.
#ifndef SPILLWAY_ALLOCATION_COUNTER_H
#define SPILLWAY_ALLOCATION_COUNTER_H

#include <stdint.h>

/// Allocations made so far by the thread of this name (pthread_setname_np(3)); -1 if there was none.
long spillway_allocations_of(const char *thread_name);

#endif
