internal import CMachine
internal import Glibc
internal import Machine
internal import Pcapng
internal import SpillCache
internal import Transfer

/// Batches of a turn that lie one behind the other, are new, and go into the same bucket.
@safe struct StagedBatches {
    // Safe because it points into the turn's buffer and is written or thrown away before the turn ends.
    var bucket: Bucket
    var run: RunIdentity
    var first: UnsafeRawPointer
    var count: Int
    var checks: [BatchCheck]
}

/// What became of the bytes of a turn.
enum TurnOutcome {
    /// So many bytes are done with; the rest is the beginning of something.
    case consumed(Int)
    /// So many bytes are done with; what follows cannot be written now.
    case stuck(Int, SystemError)
}

extension CollectorLoop {
    /// Goes over what has come on a connection.
    ///
    /// - Parameter bytes: what was left of the last turn, and behind it what is new.
    func process(_ connection: Connection, _ bytes: UnsafeRawBufferPointer) throws(Refusal) -> TurnOutcome {
        var place = 0
        guard let base = bytes.baseAddress else { return .consumed(0) }
        unsafe turnBase = base
        do throws(Refusal) {
            while connection.stage != .ending {
                let room = bytes.count - place
                let here = unsafe base + place
                guard let frame = try unsafe peek(here, room, connection) else { break }
                if frame.type == BlockType.enhancedPacket {
                    guard connection.stage == .streaming else {
                        throw connection.stage == .greeting
                            ? Self.plainStream
                            : Refusal(.malformed, .refusedMalformed, "a record where the inventory belongs")
                    }
                    let length = try unsafe batchLength(connection, here, room)
                    if length == 0 { break }
                    connection.walked = 0
                    if let stuck = try unsafe take(connection, here, length) { return stuck }
                    place += length
                } else {
                    guard frame.byteCount <= room else { break }
                    if let stuck = settle(connection) { return stuck }
                    try unsafe handle(connection, UnsafeRawBufferPointer(start: here, count: frame.byteCount))
                    place += frame.byteCount
                    if connection.stage == .answering { break }
                }
            }
        } catch {
            // What came before the mistake is good.
            _ = settle(connection)
            throw error
        }
        return settle(connection) ?? .consumed(place)
    }

    /// Writes what is staged; on failure tells the place where the staged batches begin.
    private func settle(_ connection: Connection) -> TurnOutcome? {
        guard let batches = staged else { return nil }
        staged = nil
        guard let problem = write(batches, of: connection) else { return nil }
        return .stuck(unsafe batches.first - turnBase, problem)
    }

    /// The next block's outline, nil if too little is there.
    private func peek(_ here: UnsafeRawPointer, _ room: Int, _ connection: Connection) throws(Refusal) -> BlockFrame? {
        if connection.section == nil, room >= 4,
            unsafe here.loadUnaligned(as: UInt32.self) != BlockType.sectionHeader
        {
            throw Refusal(.malformed, .refusedPlainStream, "this is no pcapng stream")
        }
        do throws(ControlError) {
            return try unsafe BlockFrame.peek(here, available: room)
        } catch {
            throw Refusal(error)
        }
    }

    /// Length of the batch that begins here; 0 if it is not all there.
    private func batchLength(_ connection: Connection, _ base: UnsafeRawPointer, _ room: Int) throws(Refusal) -> Int {
        var offset = connection.walked
        while room - offset >= 8 {
            let type = unsafe (base + offset).loadUnaligned(as: UInt32.self)
            let length = Int(unsafe (base + (offset + 4)).loadUnaligned(as: UInt32.self))
            if type == BlockType.batchTrailer {
                guard length == BatchTrailer.byteCount else { throw corrupt("a trailer of another length") }
                if room - offset < length { break }
                return offset + length
            }
            guard type == BlockType.enhancedPacket, length >= Record.overhead, length % 4 == 0,
                length <= ControlType.longest(type)
            else { throw corrupt("a batch without its trailer") }
            guard offset + length + BatchTrailer.byteCount <= TransferLimit.batchBytes else {
                throw Refusal(.limit, .refusedLimit, "a batch of more than \(TransferLimit.batchBytes) bytes")
            }
            if room - offset < length { break }
            offset += length
        }
        connection.walked = offset
        return 0
    }

    private func corrupt(_ text: String) -> Refusal {
        counts[.corrupt] += 1
        return Refusal(.malformed, .refusedMalformed, text)
    }

    /// A whole batch: checked, and staged unless it is known.
    private func take(
        _ connection: Connection, _ here: UnsafeRawPointer, _ length: Int
    ) throws(Refusal) -> TurnOutcome? {
        guard let sensor = connection.sensor, let section = connection.section else { return nil }
        guard let check = unsafe BatchCheck(here, byteCount: length) else {
            sensor.tally.corrupt += 1
            throw corrupt("a batch that fails its checks")
        }
        let trailer = check.trailer
        guard section.matches(trailer.interfaceCRC, greatest: check.greatestInterface) else {
            sensor.tally.corrupt += 1
            throw corrupt("a batch of another interface list")
        }
        guard sensor.claims[trailer.run] != nil, connection.inventory.runs.contains(trailer.run) else {
            throw Refusal(.malformed, .refusedMalformed, "a batch of a run that is not in the inventory")
        }
        let lane = BatchLane(of: trailer)
        if sensor.known.contains(lane, trailer.number) {
            counts[.duplicates] += 1
            sensor.tally.duplicates += 1
            acknowledge(connection, lane, trailer.number)
            return nil
        }
        try checkLimits(sensor, lane)
        try adopt(connection, sensor, section, trailer.run)
        if let present = staged, unsafe present.first + present.count == here, present.run == trailer.run,
            present.bucket.writer.plan.window.contains(trailer.leastTime),
            present.bucket.writer.end + UInt64(present.count) < options.rotateSize,
            present.count < CollectorLimit.writeBytes
        {
            staged!.count += length
            staged!.checks.append(check)
        } else {
            if let stuck = settle(connection) { return stuck }
            do throws(SystemError) {
                let bucket = try journal.bucket(for: trailer, sensor, linkType: section.linkType ?? 0)
                staged = unsafe StagedBatches(
                    bucket: bucket, run: trailer.run, first: here, count: length, checks: [check])
            } catch {
                return .stuck(unsafe here - turnBase, error)
            }
        }
        sensor.known.insert(lane, trailer.number)
        return nil
    }

    private func checkLimits(_ sensor: Sensor, _ lane: BatchLane) throws(Refusal) {
        guard sensor.known.rangeCount < CollectorLimit.ranges else {
            throw Refusal(.limit, .refusedLimit, "too many ranges for one sensor")
        }
        if sensor.known.lanes.count >= TransferLimit.lanes, sensor.known.ranges(of: lane).isEmpty {
            throw Refusal(.limit, .refusedLimit, "too many lanes for one sensor")
        }
    }

    /// Takes over what the section says of the run's interfaces and lanes.
    private func adopt(
        _ connection: Connection, _ sensor: Sensor, _ section: RunDescription, _ run: RunIdentity
    ) throws(Refusal) {
        let size = section.interfaces.count + section.lanes.count
        if connection.adopted[run] == size, sensor.descriptions[run] != nil { return }
        var description = sensor.descriptions[run] ?? RunDescription(run: run)
        guard description.extend(with: section) else {
            throw Refusal(.malformed, .refusedMalformed, "interfaces that differ from those the run had before")
        }
        sensor.descriptions[run] = description
        connection.adopted[run] = size
    }

    /// Writes staged batches into the journal; what is written may be acknowledged.
    private func write(_ batches: StagedBatches, of connection: Connection) -> SystemError? {
        guard let sensor = connection.sensor, let description = sensor.descriptions[batches.run] else { return nil }
        do throws(SystemError) {
            let bytes = unsafe UnsafeRawBufferPointer(start: batches.first, count: batches.count)
            try unsafe journal.append(bytes, batches.checks, of: description, to: batches.bucket)
        } catch {
            for check in batches.checks { sensor.known.remove(BatchLane(of: check.trailer), check.trailer.number) }
            return error
        }
        let now = Clock.realtime()
        for trailer in batches.checks.lazy.map(\.trailer) {
            sensor.ages.delivered(arrival: trailer.lastArrival, utc: now)
            counts[.packets] += UInt64(trailer.packets)
            sensor.tally.packets += UInt64(trailer.packets)
            acknowledge(connection, BatchLane(of: trailer), trailer.number)
        }
        counts[.batches] += UInt64(batches.checks.count)
        counts[.bytes] += UInt64(batches.count)
        sensor.tally.batches += UInt64(batches.checks.count)
        sensor.tally.bytes += UInt64(batches.count)
        return nil
    }

    /// A whole block that is no record.
    private func handle(_ connection: Connection, _ block: UnsafeRawBufferPointer) throws(Refusal) {
        let type = unsafe block.loadUnaligned(as: UInt32.self)
        if type == BlockType.sectionHeader { return try unsafe beginSection(connection, block) }
        guard unsafe block.loadUnaligned(fromByteOffset: block.count - 4, as: UInt32.self) == UInt32(block.count) else {
            throw Refusal(.malformed, .refusedMalformed, "a block's two lengths differ")
        }
        guard connection.stage == .streaming else { return try unsafe handleGreeting(connection, block) }
        var isGood = true
        switch type {
        case BlockType.interfaceDescription: isGood = connection.section?.add(interface: unsafe Array(block)) ?? false
        case BlockType.lane: isGood = connection.section?.add(lane: unsafe Array(block)) ?? false
        case BlockType.interfaceStatistics: isGood = unsafe takeStatistics(connection, Array(block))
        case ControlType.gone: try unsafe handleGone(connection, block)
        case ControlType.end: try unsafe handleEnd(connection, block)
        case BlockType.batchTrailer: throw corrupt("a trailer without records")
        default: isGood = !ControlType.isControl(type)
        }
        guard isGood else {
            throw Refusal(.malformed, .refusedMalformed, "a block of type \(type) that may not be here")
        }
    }

    private func beginSection(_ connection: Connection, _ block: UnsafeRawBufferPointer) throws(Refusal) {
        guard block.count >= 28, unsafe block.loadUnaligned(fromByteOffset: 8, as: UInt32.self) == 0x1A2B_3C4D,
            connection.section == nil || connection.stage == .streaming
        else { throw Refusal(.malformed, .refusedMalformed, "a section header that may not be here") }
        // Which run a section is about is told by its batches.
        connection.section = RunDescription(run: RunIdentity(low: 0, high: 0))
        connection.adopted = [:]
    }

    private func takeStatistics(_ connection: Connection, _ block: [UInt8]) -> Bool {
        guard connection.section?.add(statistics: block) == true else { return false }
        for run in connection.adopted.keys {
            _ = connection.sensor?.descriptions[run]?.add(statistics: block)
        }
        return true
    }

    private func handleGone(_ connection: Connection, _ block: UnsafeRawBufferPointer) throws(Refusal) {
        let list = try unsafe ranges(block)
        guard let sensor = connection.sensor, connection.inventory.runs.contains(list.run) else {
            throw Refusal(.malformed, .refusedMalformed, "GONE of a run that is not in the inventory")
        }
        let lane = BatchLane(run: list.run, worker: list.worker, lane: list.lane)
        if list.count > 0 { try checkLimits(sensor, lane) }
        exclude(
            (0..<list.count).map { place in
                let (first, end) = list.range(place)
                return BatchRange(lane, first: first, count: end - first)
            }, sensor)
    }
}
