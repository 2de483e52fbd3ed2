// The same program for cards that stamp packets themselves.
#define SPILLWAY_CARD_TIME
#include "spillway.bpf.c"
