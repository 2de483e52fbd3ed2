internal import Glibc
internal import Machine
internal import Pcapng
internal import SpillCache

/// The two directories of a collector: finished files, and the state beside them.
struct CollectorPlaces: Sendable {
    /// Where finished files are.
    let output: DirectoryHandle
    /// `.spillway` in it.
    let state: DirectoryHandle
    /// `.spillway/journal`.
    let journal: DirectoryHandle

    init(_ path: String) throws(SystemError) {
        output = try DirectoryHandle(path, creating: true)
        state = try DirectoryHandle(path + "/.spillway", creating: true)
        journal = try DirectoryHandle(path + "/.spillway/journal", creating: true)
    }
}

/// A finished file.
struct FinishedFile: Sendable {
    var name: String
    var packets: UInt64
    var bytes: UInt64
    /// Damaged places that were passed over in the journal.
    var damagedPlaces: Int
}

/// Makes a finished file from a journal's file, in durable steps; each can be the last one of a life (docs/format.md).
struct Sealing {
    let places: CollectorPlaces
    let journal: CacheFileName
    let state: SensorState
    let linkType: UInt16
    let application: String
    /// What is known of the journal's file; nil if it has to be read.
    var index: JournalIndex?

    var partName: String { String(journal.sealed.dropLast(7)) + ".part" }
    private var intentName: String { String(journal.sealed.dropLast(7)) + ".intent" }

    /// All steps up to the file's name. If it throws, nothing has been made and all may be tried again.
    ///
    /// - Parameters:
    ///   - extent: how much of the journal's file counts.
    ///   - base: the wanted name without `.pcapng`.
    func make(extent: UInt64, ranges: [BatchRange], base: String) throws(SystemError) -> FinishedFile {
        let part = try OpenFile(partName, in: places.state, flags: O_RDWR | O_CREAT | O_TRUNC)
        do throws(SystemError) {
            try places.state.sync()
            CrashPoint.sealPartCreated.pass()
            var intent = SealIntent(
                linkType: linkType, extent: extent, sensor: state.name, target: freeName(base), ranges: ranges)
            try write(intent)
            return try finish(part, &intent, base: base)
        } catch {
            abandon()
            throw error
        }
    }

    /// Goes on where another life stopped: with the part file, if it is still there.
    func resume(_ intent: SealIntent) throws(SystemError) -> FinishedFile? {
        guard places.state.contains(partName) else { return nil }
        let part = try OpenFile(partName, in: places.state, flags: O_RDWR | O_TRUNC)
        var intent = intent
        return try finish(part, &intent, base: CollectorNames.base(ofFile: intent.target))
    }

    /// Sorts into the part file and gives it its name.
    private func finish(
        _ part: consuming OpenFile, _ intent: inout SealIntent, base: String
    ) throws(SystemError) -> FinishedFile {
        var output = CaptureOutput(part, direct: true)
        var file = FinishedFile(name: intent.target, packets: 0, bytes: 0, damagedPlaces: 0)
        if let index, try writeKnown(index, into: &output) {
            file.packets = index.packets
        } else {
            let index = try JournalIndex(journal.open, extent: intent.extent, in: places.journal)
            try write(index, into: &output)
            (file.packets, file.damagedPlaces) = (index.packets, index.damagedPlaces)
        }
        file.bytes = output.position
        try output.finish(complete: .sealSorted, synced: .sealSynced)
        return try name(file, &intent, base: base)
    }

    private func name(
        _ file: FinishedFile, _ intent: inout SealIntent, base: String
    ) throws(SystemError) -> FinishedFile {
        var file = file
        while true {
            do throws(SystemError) {
                try places.state.rename(partName, toNew: intent.target, in: places.output)
                break
            } catch {
                // Somebody has made a file of this name meanwhile.
                guard error.code == EEXIST else { throw error }
                intent.target = freeName(base)
                file.name = intent.target
                try write(intent)
            }
        }
        CrashPoint.sealRenamed.pass()
        // A failure here must not look like a failure to make the file: it has its name. What is not durable in the
        // directory is finished by the intent after a power loss.
        try? places.output.sync()
        try? places.state.sync()
        CrashPoint.sealDirectorySynced.pass()
        return file
    }

    /// What follows once the file has its name. It may be tried again as often as it takes.
    func conclude(ranges: [BatchRange]) throws(SystemError) {
        state.settle(ranges)
        try state.save(in: places.state)
        try places.journal.remove(journal.open)
        try places.journal.sync()
        CrashPoint.sealJournalRemoved.pass()
        try places.state.remove(intentName)
        try places.state.sync()
        CrashPoint.sealIntentRemoved.pass()
    }

    /// Takes back an attempt. The intent goes first: an intent without a part file would mean that the file has its name.
    func abandon() {
        guard places.state.contains(partName) else { return }
        guard (try? places.state.remove(intentName)) != nil, (try? places.state.sync()) != nil else { return }
        try? places.state.remove(partName)
    }

    private func write(_ intent: SealIntent) throws(SystemError) {
        try places.state.replace(
            intentName, with: intent.bytes, temporary: .sealIntentTemporary, renamed: .sealIntentRenamed)
        CrashPoint.sealIntentWritten.pass()
    }

    /// Writes by what is known of the journal; false if a batch is not what it was when it was written, or if batches
    /// overlap so much that they cannot be checked in memory. The file must be read as a whole then.
    private func writeKnown(_ index: JournalIndex, into output: inout CaptureOutput) throws(SystemError) -> Bool {
        do throws(SystemError) {
            try write(index, into: &output)
            return true
        } catch {
            guard error.code == TimeMerge.unchecked else { throw error }
            output.restart()
            return false
        }
    }

    /// Section header, interfaces, records in order, statistics.
    private func write(_ index: JournalIndex, into output: inout CaptureOutput) throws(SystemError) {
        try output.append(
            StreamBlocks.sectionHeader(hardware: nil, system: nil, application: application))
        for block in index.interfaces { try output.append(block) }
        let least = index.batches.first?.leastTime ?? 0
        var merge = TimeMerge(
            index, try OpenFile(journal.open, in: places.journal, flags: O_RDONLY),
            budget: CollectorLimit.mergeBytes)
        try merge.run(into: &output)
        let statistics = FileStatistics(
            index.statistics, packets: merge.packets, first: least, last: index.greatestTime)
        for block in statistics.blocks { try output.append(block) }
        // What was read a moment ago must all be there; a file with less is not given its name.
        guard merge.packets.reduce(0, +) == index.packets else { throw SystemError("read", journal.open, code: EIO) }
    }

    /// The name, or the first part name that is free.
    private func freeName(_ base: String) -> String {
        var number = 1
        while true {
            let name = CollectorNames.file(base: base, part: number)
            if !places.output.contains(name) { return name }
            number += 1
        }
    }
}

/// Names of finished files: `SENSOR-LINKTYPE-START.pcapng`, and `.partN` before the suffix from the second one on.
enum CollectorNames {
    static func base(sensor: String, linkType: UInt16, start: UInt64) -> String {
        let type = LinkType(linkType).name ?? "link\(linkType)"
        return "\(sensor)-\(type)-\(CalendarTime.text(start))"
    }

    static func file(base: String, part: Int) -> String {
        part == 1 ? "\(base).pcapng" : "\(base).part\(part).pcapng"
    }

    /// The base of a file's name.
    static func base(ofFile name: String) -> String {
        var base = name.hasSuffix(".pcapng") ? name.dropLast(7) : name[...]
        let digits = base.reversed().prefix { $0.isNumber }.count
        if digits > 0, base.dropLast(digits).hasSuffix(".part") { base = base.dropLast(digits + 5) }
        return String(base)
    }
}
