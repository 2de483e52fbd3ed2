import Glibc
import Machine
import Pcapng
import SpillCache
import TestSupport

/// A cache file that a test writes as a relay does, while it is being read.
final class GrowingCacheFile {
    static let start: UInt64 = 1_700_000_000_000_000_000
    private var writer: CacheFileWriter
    let name: CacheFileName

    init(_ number: UInt64, in directory: String) throws {
        // A window for each, so that names and packet times go the same way.
        let start = Self.start + number * 60_000_000_000
        name = CacheFileName(start: start, run: RunIdentity(low: 5, high: 6), number: number)
        let plan = CacheFilePlan(
            kind: .spill, name: name, sensor: "s", linkType: 1, window: start..<start + 60_000_000_000,
            reservation: 1 << 16, application: "test")
        writer = try CacheFileWriter(plan, in: DirectoryHandle(directory, creating: true))
    }

    /// Appends a batch with one call, as the relay does.
    func append(_ batch: SampleBatch, lanes: [UInt16] = [0]) throws {
        var description = RunDescription(run: Self.identity(batch.run))
        for block in batch.run.interfaces { precondition(description.add(interface: block)) }
        for lane in lanes { precondition(description.add(lane: batch.run.lane(lane))) }
        let trailer = unsafe batch.bytes.withUnsafeBytes {
            unsafe BatchTrailer(reading: $0.baseAddress! + ($0.count - 96))
        }
        let result = unsafe batch.bytes.withUnsafeBytes { buffer in
            Result { () throws(SystemError) in try unsafe writer.append(buffer, [trailer], of: description) }
        }
        try result.get()
    }

    func seal() throws { try writer.seal() }

    private static func identity(_ run: SampleRun) -> RunIdentity {
        func word(_ bytes: ArraySlice<UInt8>) -> UInt64 { bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) } }
        return RunIdentity(low: word(run.identity[0..<8]), high: word(run.identity[8..<16]))
    }
}

/// A batch of a few small packets that arrived at this second.
func cacheBatch(
    _ number: UInt64, of run: SampleRun, arrival: UInt64, worker: UInt16 = 0, packets: Int = 4
) -> SampleBatch {
    let time = GrowingCacheFile.start + arrival * 1_000_000_000
    return SampleBatch(
        (0..<packets).map { place in
            SamplePacket(
                time: time + UInt64(place) * 1000, original: 200, interface: UInt32(place % run.interfaces.count),
                bytes: sampleBytes(60 + place, seed: Int(arrival) * 100 + place + Int(worker) * 7))
        }, run: run, worker: worker, number: number, arrival: time + 5_000_000_000)
}

/// The batches of a stream of several sections, by docs/format.md alone: every section begins with its interfaces, every batch
/// is whole and refers to interfaces that its section has described, and lanes come before their batches.
func batchesIn(_ bytes: [UInt8]) throws -> (batches: [[UInt8]], rest: Int) {
    func word(_ at: Int) -> Int { (0..<4).reduce(0) { $0 | Int(bytes[at + $1]) << (8 * $1) } }
    var (offset, start) = (0, 0)
    var found: [[UInt8]] = []
    var interfaces: [[UInt8]] = []
    var lanes: Set<Int> = []
    while offset + 12 <= bytes.count {
        let length = word(offset + 4)
        guard length >= 12, length % 4 == 0 else { throw Problem("offset \(offset): length \(length)") }
        guard offset + length <= bytes.count else { break }
        let block = Array(bytes[offset..<offset + length])
        switch word(offset) {
        case 0x0A0D_0D0A: (interfaces, lanes) = ([], [])
        case 1: interfaces.append(block)
        case 0x8053_504C: lanes.insert(Int(block[10]) | Int(block[11]) << 8)
        case 6: break
        case 0x8053_5054:
            let batch = try ParsedBatch(Array(bytes[start..<offset + length]))
            let sums = interfaces.indices.map { referenceCRC32C(interfaces[...$0].flatMap(\.self)) }
            guard sums.contains(batch.interfaceCRC), lanes.contains(Int(batch.lane)) else {
                throw Problem("offset \(offset): a batch of other interfaces or of an unknown lane")
            }
            found.append(batch.bytes)
        default: throw Problem("offset \(offset): a block of type \(word(offset))")
        }
        offset += length
        if word(offset - length) != 6 { start = offset }
    }
    return (found, bytes.count - start)
}
