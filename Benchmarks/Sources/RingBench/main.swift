// The fast ring between two pinned threads: the counterpart of C/spsc_boost.cpp, with the same elements, the same
// checks and the same visibility: every push is published, and every pop released, before the next.

import BenchSupport

let options = Options(
    ["elements", "batch", "cpus"], usage: "usage: RingBench [--elements N] [--batch N] [--cpus PRODUCER,CONSUMER]")
let elements = UInt64(options.number("elements", default: 200_000_000, in: 1...Int.max / 2))
let batch = options.number("batch", default: 1, in: 1...1024)
let cpus = options.cpus("cpus", default: [0, 1])

let result = try measure(elements: elements, batch: batch, producerCPU: cpus[0], consumerCPU: cpus[1])
report("elements", Int(elements), "elements")
report("errors", Int(result.errors), "elements")
report("seconds", result.seconds, "s")
report("throughput", Double(elements) / result.seconds / 1e6, "Melements/s")
if result.errors > 0 { Options.stop("elements were lost, doubled or changed") }
