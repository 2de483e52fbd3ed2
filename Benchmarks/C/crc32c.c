// The speed of every CRC32C method of this processor, in bytes per nanosecond, at the sizes that matter: a short
// and a long frame, and batches.

#include "bench.h"
#include "crc32c.h"

#include <getopt.h>

enum { ROUNDS = 21 };

static int ascending(const void *a, const void *b) {
    double first = *(const double *)a, second = *(const double *)b;
    return (first > second) - (first < second);
}

static double median_seconds(enum spillway_crc32c_method method, const uint8_t *data, size_t size) {
    double rounds[ROUNDS];
    size_t repeats = ((size_t)4 << 20) / size;
    uint32_t crc = 0;
    for (int round = 0; round < ROUNDS; round++) {
        double start = wall_seconds();
        for (size_t i = 0; i < repeats; i++)
            spillway_crc32c_with(method, &crc, data, size);
        rounds[round] = (wall_seconds() - start) / (double)repeats;
    }
    qsort(rounds, ROUNDS, sizeof rounds[0], ascending);
    return rounds[ROUNDS / 2];
}

int main(int count, char **arguments) {
    const struct option options[] = {{"cpu", 1, NULL, 'c'}, {0}};
    for (int option; (option = getopt_long(count, arguments, "", options, NULL)) != -1;) {
        if (option != 'c')
            fail(EXIT_USAGE, "usage: crc32c [--cpu N]");
        pin((int)number("cpu", optarg, 0, CPU_SETSIZE - 1));
    }
    static const size_t sizes[] = {64, 512, 1536, 4096, 16384, 65536};
    static uint8_t data[65536];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * i >> 3);
    fprintf(stderr, "chosen: %s\n", spillway_crc32c_name());
    for (int number = 0; number < SPILLWAY_CRC32C_METHODS; number++) {
        enum spillway_crc32c_method method = (enum spillway_crc32c_method)number;
        uint32_t crc = 0;
        if (!spillway_crc32c_with(method, &crc, data, 1))
            continue;
        fprintf(stderr, "method %d: %s\n", number, spillway_crc32c_method_name(method));
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            char name[64];
            snprintf(name, sizeof name, "method_%d_size_%zu", number, sizes[i]);
            report(name, (double)sizes[i] / median_seconds(method, data, sizes[i]) / 1e9, "bytes/ns");
        }
    }
    return 0;
}
