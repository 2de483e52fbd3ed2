internal import Machine
internal import Pcapng
internal import SpillCache

extension CollectorLoop {
    /// Puts together what an earlier life left behind: states, files it was about to make, the journal. Before anybody
    /// may connect.
    func recover() throws(CollectorError) {
        let states = try SensorState.load(from: places.state) { path in
            counts[.journalDamage] += 1
            problem("\(path); its copy is good")
            log("\(path); its copy is good")
        }
        for (state, _) in states { sensors[state.name] = Sensor(state) }
        do throws(SystemError) {
            try finishIntents()
            try removeLeftovers()
            try openJournal()
            for (state, isWhole) in states where !isWhole { try state.save(in: places.state) }
        } catch {
            throw .inputOutput(error)
        }
        for sensor in sensors.values {
            for run in sensor.claims.keys { owners[run] = sensor.name }
        }
    }

    /// Makes the files that were intended, and no others.
    private func finishIntents() throws(SystemError) {
        let names = try places.state.names()
        for name in names where name.hasSuffix(".intent") {
            guard let journal = CacheFileName(parsing: name.dropLast(7) + ".pcapng") else { continue }
            let bytes = try places.state.content(name, limit: CollectorLimit.stateBytes) ?? []
            if let intent = SealIntent.read(bytes) {
                try finish(intent, of: journal)
            } else {
                try finishDamaged(intent: name, of: journal)
            }
        }
    }

    private func finish(_ intent: SealIntent, of journal: CacheFileName) throws(SystemError) {
        let sealing = sealing(of: journal, sensor: intent.sensor, linkType: intent.linkType)
        do throws(SystemError) {
            if let file = try sealing.resume(intent) {
                counts[.files] += 1
                log("\(file.name): finished, \(file.packets) packets")
            }
        } catch {
            // For example a full disk. The batches are in the journal and will be in a file later.
            log("\(intent.target): \(error); trying again later")
            sealing.abandon()
            return
        }
        try sealing.conclude(ranges: intent.ranges)
    }

    /// An intent that cannot be read. With a part file nothing has got its name yet, and all begins anew. Without one the
    /// file is there, and what the journal says is in it; if there is no such file, the intent is nobody's.
    private func finishDamaged(intent name: String, of journal: CacheFileName) throws(SystemError) {
        counts[.journalDamage] += 1
        problem("\(places.state.path)/\(name): damaged")
        log("\(places.state.path)/\(name): damaged")
        var header: CacheHeader?
        var ranges: [BatchRange] = []
        if places.journal.contains(journal.open) {
            let report = try CacheScan.run(journal.open, in: places.journal) { _, _ in }
            (header, ranges) = (report.header, report.contents.identities.ranges)
        }
        let sealing = sealing(of: journal, sensor: header?.sensor ?? "", linkType: header?.linkType ?? 0)
        let hasFile = try header.map { header throws(SystemError) in try isThereFile(header) } ?? false
        if places.state.contains(sealing.partName) || !hasFile {
            sealing.abandon()
            try places.state.remove(name)
        } else {
            try sealing.conclude(ranges: ranges)
        }
    }

    /// Whether there is a finished file of the sensor and time that a journal's file is meant for.
    private func isThereFile(_ header: CacheHeader) throws(SystemError) -> Bool {
        let base = CollectorNames.base(
            sensor: header.sensor, linkType: header.linkType, start: header.window.lowerBound)
        return try places.output.names().contains { name in
            name.hasSuffix(".pcapng") && CollectorNames.base(ofFile: name) == base
        }
    }

    private func sealing(of journal: CacheFileName, sensor: String, linkType: UInt16) -> Sealing {
        Sealing(
            places: places, journal: journal, state: state(of: sensor), linkType: linkType,
            application: options.application)
    }

    /// The sensor's state; a new one is not kept, unless something is saved into it.
    private func state(of name: String) -> SensorState {
        if let sensor = sensors[name] { return sensor.state }
        let state = SensorState(name: name)
        if !name.isEmpty { sensors[name] = Sensor(state) }
        return state
    }

    /// Part files without an intent, and files that were not renamed yet.
    private func removeLeftovers() throws(SystemError) {
        let names = try places.state.names()
        for name in names where name.hasSuffix(".new") || name.hasSuffix(".part") {
            if name.hasSuffix(".part"), names.contains(name.dropLast(5) + ".intent"), places.state.contains(name) {
                continue
            }
            try places.state.remove(name)
        }
        // Intents have settled batches since the sensors were made from their states.
        for (name, sensor) in sensors { sensors[name] = Sensor(sensor.state) }
    }

    /// Opens the files of the journal again, and learns from them what is here.
    private func openJournal() throws(SystemError) {
        for name in try places.journal.names() {
            guard let file = CacheFileName(parsing: name), name == file.open else { continue }
            var descriptions: [RunIdentity: RunDescription] = [:]
            var recovered = try CacheFileWriter.recovering(
                file, in: places.journal, application: options.application
            ) { batch, description in
                descriptions[description.run] = description
            }
            let report = recovered.report
            noteDamage(report, name)
            if let version = report.foreignVersion {
                fatal = .badState(
                    "\(places.journal.path)/\(name): written in version \(version), which this program does not know")
                return
            }
            guard let writer = recovered.writer.take(), report.contents.batches > 0 else {
                try places.journal.remove(name)
                continue
            }
            let sensor = sensor(of: writer.plan.sensor, descriptions)
            sensor.known.formUnion(report.contents.identities)
            log("\(name): \(report.contents.batches) batches found in the journal")
            journal.adopt(writer, sensor)
        }
    }

    private func sensor(of name: String, _ descriptions: [RunIdentity: RunDescription]) -> Sensor {
        _ = state(of: name)
        let sensor = sensors[name]!
        for (run, description) in descriptions {
            if sensor.claims[run] == nil { _ = sensor.claim(run, destination: "") }
            var known = sensor.descriptions[run] ?? RunDescription(run: run)
            _ = known.extend(with: description)
            sensor.descriptions[run] = known
        }
        return sensor
    }

    private func noteDamage(_ report: CacheScanReport, _ name: String) {
        if report.tornBytes > 0 {
            log("\(name): \(report.tornBytes) bytes of a torn tail cut off")
            problem("\(name): \(report.tornBytes) bytes of a torn tail cut off")
        }
        guard report.damagedPlaces > 0 else { return }
        counts[.journalDamage] += UInt64(report.damagedPlaces)
        problem("\(name): \(report.damagedPlaces) damaged places, \(report.damagedBytes) bytes lost")
        log("\(name): \(report.damagedPlaces) damaged places, \(report.damagedBytes) bytes lost")
    }
}
