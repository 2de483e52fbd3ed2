// Fragments through the reassembler, and whole packets past it, into Spillway's own batches: what a worker does with a packet
// beside its filters. With --sink memory the datagrams go to plain memory instead: the counterpart of C/reassembly_dpdk.c.

import BenchSupport
import Machine

let options = Options(
    ["traffic", "sink", "size", "fragments", "datagrams", "together", "cpu"],
    usage: """
        usage: ReassemblyBench [--traffic off|whole|fragments] [--sink batches|memory] [--size BYTES] [--fragments N]
               [--datagrams N] [--together N] [--cpu N]
        """)
let size = options.number("size", default: 1514, in: 74...1514)
let fragments = options.number("fragments", default: 3, in: 2...40)
// Datagrams that are under way at the same time: 1 is in order.
let together = options.number("together", default: 1, in: 1...1024)
let datagrams = options.number("datagrams", default: 300_000, in: together...1 << 30) / together * together
let cpu = options.cpus("cpu", default: [-1])[0]
if cpu >= 0 { try CPUSet([cpu]).pinCurrentThread() }

var run = try ReassemblyRun(fragments: fragments, size: size, together: together)
let intoMemory = options.text("sink") == "memory"
let traffic = options.text("traffic") ?? "fragments"
guard ["off", "whole", "fragments"].contains(traffic) else {
    Options.stop("--traffic: \(traffic) is not off, whole or fragments")
}
let warmUp = max(datagrams / 10, together) / together * together
run.pass(warmUp, traffic, intoMemory: intoMemory)
let before = run.made
let (wall, thread) = (Clock.monotonic(), Clock.threadCPU())
run.pass(datagrams, traffic, intoMemory: intoMemory)
let (wallUsed, threadUsed) = (Clock.monotonic() - wall, Clock.threadCPU() - thread)
if traffic == "fragments" {
    guard run.made - before == UInt64(datagrams) else { Options.stop("\(run.made - before) datagrams were made") }
}
let packets = datagrams * fragments
report("packets", packets, "packets")
report("ns_per_packet", Double(wallUsed) / Double(packets), "ns")
report("cpu_ns_per_packet", Double(threadUsed) / Double(packets), "ns")
report("cpu_ns_per_datagram", Double(threadUsed) / Double(datagrams), "ns")
