import Machine
import SpillCache
import TestSupport

/// A cache of a few files as a relay leaves it, and what is in it by the test's own account.
struct CacheSample {
    let rig: CacheRig
    /// The batches by file.
    let files: [[SampleBatch]]

    /// Names of the files as they are in the directory.
    let names: [String]

    /// All packets in the order of their times, those of equal times in the order of `precedes`.
    var packets: [SamplePacket] { files.flatMap(\.self).flatMap(\.packets) }

    /// Writes files.
    ///
    /// - Parameters:
    ///   - batches: for each file what is in it.
    ///   - open: the numbers of files that are not sealed.
    init(_ folder: String, _ batches: [[SampleBatch]], open: Set<Int> = []) throws {
        rig = try CacheRig(folder)
        var names: [String] = []
        for (number, file) in batches.enumerated() {
            var plan = rig.plan(UInt64(number))
            plan.kind = .spill
            var writer = try CacheFileWriter(plan, in: rig.directory)
            for batch in file { try CacheRig.append([batch], to: &writer) }
            if !open.contains(number) { try writer.seal() }
            names.append(open.contains(number) ? plan.name.open : plan.name.sealed)
        }
        (files, self.names) = (batches, names)
    }

    /// Packets of a batch with these times.
    static func batch(
        _ times: [UInt64], run: SampleRun, number: UInt64, worker: UInt16 = 0, length: Int = 30
    ) -> SampleBatch {
        SampleBatch(
            times.enumerated().map { place, time in
                let bytes = sampleBytes(length + place % 7, seed: Int(number) * 5003 + place + Int(worker) * 77)
                return SamplePacket(
                    time: CacheRig.window.lowerBound + time, original: UInt32(bytes.count + 3),
                    interface: UInt32(place % run.interfaces.count), bytes: bytes)
            }, run: run, worker: worker, number: number)
    }
}

/// A packet without its interface, which an export gives a number of its own.
struct BarePacket: Hashable, Comparable {
    let time: UInt64
    let original: UInt32
    let bytes: [UInt8]

    init(_ packet: SamplePacket) { (time, original, bytes) = (packet.time, packet.original, packet.bytes) }

    static func < (left: BarePacket, right: BarePacket) -> Bool {
        left.time != right.time ? left.time < right.time : left.bytes.lexicographicallyPrecedes(right.bytes)
    }
}
