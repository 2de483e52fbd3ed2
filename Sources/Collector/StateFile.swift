internal import Pcapng
internal import SpillCache

/// The bytes of a sensor's state and of an intent (docs/format.md).
enum StateFile {
    private static let magic: UInt32 = 0x5353_5053

    static func bytes(_ content: SensorState.Content) -> [UInt8] {
        var out = BlockBuilder()
        out.append(magic)
        out.append(UInt16(1))
        out.append(UInt16(0))
        out.append(content.generation)
        out.append(UInt32(content.runs.count))
        let ranges = Dictionary(grouping: content.settled.ranges) { $0.lane.run }
        for (run, claim) in content.runs.sorted(by: { $0.key.description < $1.key.description }) {
            out.append(run.low)
            out.append(run.high)
            out.append(claim.presented)
            out.append(text: claim.destination)
            let own = ranges[run] ?? []
            out.append(UInt32(own.count))
            for range in own {
                out.append(range.lane.worker)
                out.append(range.lane.lane)
                out.append(UInt32(0))
                out.append(range.first)
                out.append(range.count)
            }
        }
        out.append(ByteSource.checksum(out.bytes))
        return out.bytes
    }

    static func content(_ bytes: [UInt8]) -> Result<SensorState.Content, FormatFault> {
        Result { () throws(FormatFault) in
            var source = try ByteSource(checked: bytes, magic: magic, version: 1)
            let _: UInt16 = try source.number()
            var content = SensorState.Content()
            content.generation = try source.number()
            let runs: UInt32 = try source.number()
            for _ in 0..<runs {
                let run = try source.run()
                let presented: UInt64 = try source.number()
                let destination = try source.text()
                content.runs[run] = SensorState.RunClaim(destination: destination, presented: presented)
                let count: UInt32 = try source.number()
                for _ in 0..<count {
                    let worker: UInt16 = try source.number()
                    let lane: UInt16 = try source.number()
                    let _: UInt32 = try source.number()
                    content.settled.insert(
                        BatchRange(
                            BatchLane(run: run, worker: worker, lane: lane), first: try source.number(),
                            count: try source.number()))
                }
            }
            return content
        }
    }
}

/// What is written down before a file is made from a journal's file, so that a later life can finish exactly that.
struct SealIntent: Equatable, Sendable {
    private static let magic: UInt32 = 0x4953_5053

    /// Link type of the file.
    var linkType: UInt16
    /// How much of the journal's file goes into it.
    var extent: UInt64
    /// The sensor's name.
    var sensor: String
    /// The name the file will have.
    var target: String
    /// The batches in it.
    var ranges: [BatchRange]

    var bytes: [UInt8] {
        var out = BlockBuilder()
        out.append(Self.magic)
        out.append(UInt16(1))
        out.append(linkType)
        out.append(extent)
        out.append(text: sensor)
        out.append(text: target)
        out.append(UInt32(ranges.count))
        for range in ranges { out.append(range) }
        out.append(ByteSource.checksum(out.bytes))
        return out.bytes
    }

    /// Nil if the bytes are damaged.
    static func read(_ bytes: [UInt8]) -> SealIntent? {
        try? { () throws(FormatFault) in
            var source = try ByteSource(checked: bytes, magic: magic, version: 1)
            let linkType: UInt16 = try source.number()
            let extent: UInt64 = try source.number()
            let (sensor, target) = (try source.text(), try source.text())
            let count: UInt32 = try source.number()
            var ranges: [BatchRange] = []
            for _ in 0..<count { ranges.append(try source.batchRange()) }
            return SealIntent(linkType: linkType, extent: extent, sensor: sensor, target: target, ranges: ranges)
        }()
    }
}
