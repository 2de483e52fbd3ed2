// The reference for the fast ring: boost::lockfree::spsc_queue between two pinned threads.
//
// Elements of 16 bytes hold their sequence number and its complement; the consumer checks both, in order. The
// capacity is a compile-time constant, which is boost's faster form. A side that must wait spins without a pause
// instruction, which was never slower.

#include "bench.h"

#include <getopt.h>

#include <atomic>
#include <boost/lockfree/spsc_queue.hpp>
#include <memory>
#include <thread>

namespace {

struct Element {
    uint64_t sequence, complement;
};
static_assert(sizeof(Element) == 16, "the comparison is made with elements of 16 bytes");

constexpr size_t capacity = 4096, batch_max = 1024;
using Queue = boost::lockfree::spsc_queue<Element, boost::lockfree::capacity<capacity>>;

Element make(uint64_t sequence) { return {sequence, ~sequence}; }

void produce_single(Queue &queue, uint64_t elements) {
    for (uint64_t next = 0; next < elements; next++)
        while (!queue.push(make(next))) {
        }
}

void produce_batches(Queue &queue, uint64_t elements, size_t batch) {
    Element block[batch_max];
    for (uint64_t next = 0; next < elements;) {
        size_t count = elements - next < batch ? elements - next : batch;
        for (size_t i = 0; i < count; i++)
            block[i] = make(next + i);
        for (size_t done = 0; done < count;) {
            size_t pushed = queue.push(block + done, count - done);
            done += pushed;
        }
        next += count;
    }
}

uint64_t consume_single(Queue &queue, uint64_t elements) {
    uint64_t errors = 0;
    Element element{};
    for (uint64_t next = 0; next < elements; next++) {
        while (!queue.pop(element)) {
        }
        errors += element.sequence != next || element.complement != ~next;
    }
    return errors;
}

uint64_t consume_batches(Queue &queue, uint64_t elements, size_t batch) {
    uint64_t errors = 0;
    Element block[batch_max];
    for (uint64_t next = 0; next < elements;) {
        size_t count = queue.pop(block, batch);
        for (size_t i = 0; i < count; i++, next++)
            errors += block[i].sequence != next || block[i].complement != ~next;
    }
    return errors;
}

}  // namespace

int main(int count, char **arguments) {
    uint64_t elements = 200000000, batch = 1;
    int producer_cpu = 0, consumer_cpu = 1;
    const option options[] = {{"elements", 1, nullptr, 'e'}, {"batch", 1, nullptr, 'b'}, {"cpus", 1, nullptr, 'c'}, {}};
    for (int option; (option = getopt_long(count, arguments, "", options, nullptr)) != -1;) {
        switch (option) {
        case 'e': elements = number("elements", optarg, 1, UINT64_MAX / 2); break;
        case 'b': batch = number("batch", optarg, 1, batch_max); break;
        case 'c':
            if (sscanf(optarg, "%d,%d", &producer_cpu, &consumer_cpu) != 2)
                fail(EXIT_USAGE, "--cpus: %s is not of the form 0,1", optarg);
            break;
        default: fail(EXIT_USAGE, "usage: spsc_boost [--elements N] [--batch N] [--cpus PRODUCER,CONSUMER]");
        }
    }

    auto queue = std::make_unique<Queue>();
    std::atomic<int> ready{0};
    auto meet = [&] {
        ready.fetch_add(1);
        while (ready.load() < 2) {
        }
    };
    std::thread producer([&] {
        pin(producer_cpu);
        meet();
        batch == 1 ? produce_single(*queue, elements) : produce_batches(*queue, elements, batch);
    });
    pin(consumer_cpu);
    meet();
    double start = wall_seconds();
    uint64_t errors = batch == 1 ? consume_single(*queue, elements) : consume_batches(*queue, elements, batch);
    double seconds = wall_seconds() - start;
    producer.join();

    report_count("elements", elements, "elements");
    report_count("errors", errors, "elements");
    report("seconds", seconds, "s");
    report("throughput", (double)elements / seconds / 1e6, "Melements/s");
    return errors == 0 ? 0 : 1;
}
