import Machine
import Pcapng
import SpillCache
import TestSupport

/// Batches of a run as tests write them into cache files.
struct CacheRig {
    static let window: Range<UInt64> = 1_700_000_000_000_000_000..<1_700_000_060_000_000_000
    static let owner = RunIdentity(low: 0x0123_4567_89ab_cdef, high: 0xfedc_ba98_7654_3210)

    let directory: DirectoryHandle

    init(_ path: String) throws { directory = try DirectoryHandle(path, creating: true) }

    func plan(_ number: UInt64 = 0) -> CacheFilePlan {
        CacheFilePlan(
            kind: .journal, name: CacheFileName(start: Self.window.lowerBound, run: Self.owner, number: number),
            sensor: "sensor.a", linkType: 1, window: Self.window, reservation: 1 << 16, application: "test")
    }

    func writer(_ number: UInt64 = 0) throws -> CacheFileWriter { try CacheFileWriter(plan(number), in: directory) }

    /// A batch of small packets with times one microsecond apart.
    static func batch(_ number: UInt64, of run: SampleRun, packets: Int = 3, length: Int = 20) -> SampleBatch {
        SampleBatch(
            (0..<packets).map { place in
                let time = window.lowerBound + (number * 100 + UInt64(place)) * 1000
                return SamplePacket(
                    time: time, original: UInt32(length + 5), interface: UInt32(place % run.interfaces.count),
                    bytes: sampleBytes(length + place, seed: Int(number) * 1000 + place))
            }, run: run, number: number)
    }

    static func description(_ run: SampleRun, lanes: [UInt16] = [0]) -> RunDescription {
        var description = RunDescription(run: identity(run))
        for block in run.interfaces { precondition(description.add(interface: block)) }
        for lane in lanes { precondition(description.add(lane: run.lane(lane))) }
        return description
    }

    static func identity(_ run: SampleRun) -> RunIdentity {
        func word(_ bytes: ArraySlice<UInt8>) -> UInt64 { bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) } }
        return RunIdentity(low: word(run.identity[0..<8]), high: word(run.identity[8..<16]))
    }

    static func append(_ batches: [SampleBatch], to writer: inout CacheFileWriter) throws {
        let bytes = batches.flatMap(\.bytes)
        let trailers = batches.map { batch in
            unsafe batch.bytes.withUnsafeBytes { unsafe BatchTrailer(reading: $0.baseAddress! + ($0.count - 96)) }
        }
        let description = description(batches[0].run)
        let result = unsafe bytes.withUnsafeBytes { buffer in
            Result { () throws(SystemError) in try unsafe writer.append(buffer, trailers, of: description) }
        }
        try result.get()
    }

    /// The good batches of a file and what else was found.
    func scan(_ name: String) throws -> (batches: [[UInt8]], report: CacheScanReport) {
        var found: [[UInt8]] = []
        let report = try CacheScan.run(name, in: directory) { batch, _ in
            found.append(unsafe Array(batch.bytes))
        }
        return (found, report)
    }
}
