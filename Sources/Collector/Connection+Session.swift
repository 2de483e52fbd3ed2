internal import Machine
internal import Pcapng
internal import SpillCache
internal import Tokens
internal import Transfer

extension CollectorLoop {
    /// The first words to a peer.
    func greet(_ connection: Connection) {
        connection.say(
            StreamBlocks.sectionHeader(hardware: nil, system: nil, application: options.application)
                + Hello(
                    asksForProof: options.token != nil, isDurable: options.isDurable, challenge: connection.challenge
                ).encoded())
    }

    /// A whole block before the first batch may come. The section header has been seen.
    func handleGreeting(_ connection: Connection, _ block: UnsafeRawBufferPointer) throws(Refusal) {
        let type = unsafe block.loadUnaligned(as: UInt32.self)
        if type == ControlType.end { return try unsafe handleEnd(connection, block) }
        switch connection.stage {
        case .greeting:
            guard type == ControlType.session else {
                guard ControlType.isControl(type) else { throw Self.plainStream }
                throw Refusal(.malformed, .refusedMalformed, "a control block before SESSION")
            }
            let session: Session
            do throws(ControlError) { session = try unsafe Session(block) } catch { throw Refusal(error) }
            try begin(connection, session)
        case .inventory:
            guard type == ControlType.owed else {
                throw Refusal(.malformed, .refusedMalformed, "another block where the inventory belongs")
            }
            let list = try unsafe ranges(block)
            try connection.inventory.add(list)
            if list.isLast { try finishInventory(connection) }
        default:
            throw Refusal(.malformed, .refusedMalformed, "a block before HAVE was said")
        }
    }

    static var plainStream: Refusal {
        Refusal(
            .malformed, .refusedPlainStream,
            "this is a plain stream; the collector takes acknowledged ones: use ack=auto or ack=required, or receive "
                + "the stream with nc")
    }

    /// Reads OWED or GONE.
    func ranges(_ block: UnsafeRawBufferPointer) throws(Refusal) -> RangeBlock {
        do throws(ControlError) {
            return try unsafe RangeBlock(block.baseAddress!, byteCount: block.count)
        } catch {
            throw Refusal(error)
        }
    }

    /// SESSION: the names, and the proofs where they are asked for.
    private func begin(_ connection: Connection, _ session: Session) throws(Refusal) {
        guard session.version == TransferLimit.version else {
            throw Refusal(.version, .refusedVersion, "version \(session.version) was not offered")
        }
        if let token = options.token {
            let subject = ProofSubject(helloChallenge: connection.challenge, session: session)
            guard token.isProof(session.proof, of: .relay, subject) else {
                throw Refusal(.proof, .refusedProof, "the relay's proof is wrong: not the same token")
            }
            connection.say(Proof(bytes: token.proof(of: .collector, subject)).encoded())
        }
        let sensor = try sensor(named: session.sensor)
        connection.session = session
        connection.sensor = sensor
        sensor.connections += 1
        connection.stage = .inventory
    }

    private func sensor(named name: String) throws(Refusal) -> Sensor {
        if let sensor = sensors[name] { return sensor }
        guard sensors.count < CollectorLimit.sensors else {
            throw Refusal(.limit, .refusedLimit, "too many sensors")
        }
        let sensor = Sensor(SensorState(name: name))
        sensors[name] = sensor
        return sensor
    }

    /// The last OWED is there: claims, what never comes, and the answer.
    private func finishInventory(_ connection: Connection) throws(Refusal) {
        guard let session = connection.session, let sensor = connection.sensor else { return }
        let inventory = connection.inventory
        guard runsDigest(inventory.runs) == session.runsDigest else {
            throw Refusal(.malformed, .refusedMalformed, "the runs are not those of SESSION")
        }
        for run in inventory.runs {
            if let owner = owners[run], owner != session.sensor { throw Self.foreign(run) }
        }
        forgetForRoom(sensor, Set(inventory.runs))
        guard Set(sensor.claims.keys).union(inventory.runs).count <= TransferLimit.runs else {
            throw Refusal(.limit, .refusedLimit, "the sensor has too many runs")
        }
        for run in inventory.runs {
            guard sensor.claim(run, destination: session.destination) else { throw Self.foreign(run) }
            owners[run] = session.sensor
        }
        let excluded = inventory.excluded
        guard sensor.known.rangeCount + excluded.count <= CollectorLimit.ranges else {
            throw Refusal(.limit, .refusedLimit, "too many ranges for one sensor")
        }
        connection.stage = .answering
        counts[.sessions] += 1
        sensor.tally.connections += 1
        log("\(connection.label): session, runs \(inventory.runs.map(\.description).joined(separator: " "))")
        // What is not durable yet must not be claimed; where it need not be, this is at once.
        afterSync(connection) { [self] in answer(connection, sensor, excluding: excluded) }
    }

    private static func foreign(_ run: RunIdentity) -> Refusal {
        Refusal(.refused, .refusedName, "run \(run) belongs to another sensor or destination")
    }

    /// HAVE: what is here of what is owed.
    private func answer(_ connection: Connection, _ sensor: Sensor, excluding excluded: [BatchRange]) {
        var lists: [NumberRanges] = []
        for (lane, entry) in connection.inventory.lanes.sorted(by: { $0.key < $1.key }) {
            let ranges = sensor.known.ranges(of: lane, within: entry.owed)
            if ranges.isEmpty { continue }
            lists.append(NumberRanges(run: lane.run, worker: lane.worker, lane: lane.lane, ranges))
        }
        if lists.isEmpty, let lane = connection.inventory.lanes.keys.sorted().first {
            lists.append(NumberRanges(run: lane.run, worker: lane.worker, lane: lane.lane, []))
        }
        for (place, list) in lists.enumerated() {
            connection.say(list.blocks(ControlType.have, isLast: place == lists.count - 1))
        }
        exclude(excluded, sensor)
        connection.stage = .streaming
    }

    /// Notes what never comes.
    func exclude(_ ranges: [BatchRange], _ sensor: Sensor) {
        if ranges.isEmpty { return }
        counts[.excluded] &+= sensor.exclude(ranges)
    }

    /// END of the peer.
    func handleEnd(_ connection: Connection, _ block: UnsafeRawBufferPointer) throws(Refusal) {
        let end: End
        do throws(ControlError) { end = try unsafe End(block) } catch { throw Refusal(error) }
        let reason = end.reason.map { "\($0)" } ?? "code \(end.code)"
        log("\(connection.label): the relay ends: \(reason)\(end.text.isEmpty ? "" : ", \(end.text)")")
        connection.sayAcknowledgements(atOnce: true)
        connection.stage = .ending
    }
}
