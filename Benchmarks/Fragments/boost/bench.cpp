// The same work as FragmentsBench, on boost::icl::interval_set with half-open intervals.
#include <malloc.h>
#include <time.h>

#include <boost/icl/interval_set.hpp>
#include <cstdint>
#include <cstdio>
#include <utility>
#include <vector>

using Bound = uint64_t;
using Interval = boost::icl::right_open_interval<Bound>;
using Set = boost::icl::interval_set<Bound, std::less, Interval>;
using Ranges = std::vector<Interval>;

// SplitMix64, the same as in the Swift program.
struct Generator {
    uint64_t state;
    uint64_t next() {
        uint64_t mixed = state += 0x9e3779b97f4a7c15;
        mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
        mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
        return mixed ^ (mixed >> 31);
    }
    Ranges ranges(size_t count, size_t size) {
        Ranges ranges;
        for (size_t k = 0; k < count; k++) {
            Bound lower = next() % (size * 1000);
            ranges.push_back(Interval(lower, lower + 1 + next() % 100));
        }
        return ranges;
    }
};

static double thread_time() {
    timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return time.tv_sec * 1e9 + time.tv_nsec;
}

static volatile size_t sink;

template <typename Body>
static void measure(const char *name, size_t size, size_t operations, Body body) {
    double start = thread_time();
    size_t result = body();
    double nanoseconds = (thread_time() - start) / operations;
    sink = sink + result;
    printf("%s\t%zu\t%.3f\n", name, size, nanoseconds);
}

__attribute__((noinline)) static size_t insert(const Interval *ranges, size_t count) {
    Set set;
    for (size_t k = 0; k < count; k++) set.add(ranges[k]);
    return set.iterative_size();
}

__attribute__((noinline)) static size_t append(const Ranges &ranges) {
    Set set;
    for (const Interval &range : ranges) set.add(set.end(), range);
    return set.iterative_size();
}

static Set build(const Ranges &ranges) {
    Set set;
    for (const Interval &range : ranges) set.add(range);
    return set;
}

static void insertions(size_t size) {
    size_t total = size > 1000000 ? size : 1000000;
    Ranges ranges = Generator{size}.ranges(total, size);
    measure("insert", size, total, [&] {
        size_t sum = 0;
        for (size_t k = 0; k < total; k += size) sum += insert(&ranges[k], size);
        return sum;
    });
    Ranges ordered;
    for (Bound k = 0; k < size; k++) ordered.push_back(Interval(k * 10, k * 10 + 5));
    measure("append", size, total, [&] {
        size_t sum = 0;
        for (size_t k = 0; k < total / size; k++) sum += append(ordered);
        return sum;
    });
}

static void queries(size_t size) {
    Generator generator{size + 1};
    Set set = build(generator.ranges(size, size));
    Ranges probes = generator.ranges(200000, size);
    measure("contains", size, probes.size(), [&] {
        size_t sum = 0;
        for (const Interval &probe : probes) sum += boost::icl::contains(set, probe.lower());
        return sum;
    });
    measure("erase", size, probes.size(), [&] {
        Set copy = set;
        for (const Interval &probe : probes) copy.erase(probe);
        return copy.iterative_size();
    });
    measure("walk", size, set.iterative_size(), [&] {
        size_t sum = 0;
        for (const Interval &range : set) sum += range.upper() - range.lower();
        return sum;
    });
}

static void set_operations(size_t size) {
    Generator generator{size + 2};
    Set left = build(generator.ranges(size, size));
    Set right = build(generator.ranges(size, size));
    measure("union", size, size, [&] { return Set(left + right).iterative_size(); });
    measure("intersection", size, size, [&] { return Set(left & right).iterative_size(); });
    measure("difference", size, size, [&] { return Set(left - right).iterative_size(); });
    measure("symmetric-difference", size, size, [&] { return Set(left ^ right).iterative_size(); });
}

static void bytes(size_t size) {
    Ranges ranges = Generator{size + 3}.ranges(size, size);
    size_t before = mallinfo2().uordblks;
    Set set = build(ranges);
    size_t after = mallinfo2().uordblks;
    printf("bytes-per-range\t%zu\t%.3f\n", size, double(after - before) / set.iterative_size());
}

int main() {
    for (size_t size : {1000, 10000, 100000, 1000000}) {
        insertions(size);
        queries(size);
        set_operations(size);
        bytes(size);
    }
}
