// Encoding by Spillway's own batch writer: the counterpart of C/encode.c, with the same parameters and the same bytes.

import BenchSupport
import Machine

let options = Options(
    ["size", "crc", "packets", "segments", "frames", "cpu"],
    usage: "usage: EncodeBench [--size BYTES] [--crc on|off] [--packets N] [--segments N] [--frames N] [--cpu N]")
let size = options.number("size", default: 64, in: 1...2048)
let segments = options.number("segments", default: 64, in: 1...1 << 16)
let withCRC = options.flag("crc", default: true)
// By default as many packets as overwrite all segments about twelve times.
let turn = segments << 21 / (size + 32)
let packets = options.number("packets", default: 12 * turn, in: 1...Int.max)
let cpu = options.cpus("cpu", default: [-1])[0]
if cpu >= 0 { try CPUSet([cpu]).pinCurrentThread() }

let frameCount = options.number("frames", default: 1024, in: 1...1 << 20)
let result =
    try withCRC
    ? measureBatchWriter(
        frameCount: frameCount, size: size, segments: segments, warmUp: turn, packets: packets)
    : measureWithoutChecksum(
        frameCount: frameCount, size: size, segments: segments, warmUp: turn, packets: packets)
report("packets", packets, "packets")
report("bytes", result.bytes, "bytes")
report("ns_per_packet", Double(result.wall) / Double(packets), "ns")
report("cpu_ns_per_packet", Double(result.thread) / Double(packets), "ns")
