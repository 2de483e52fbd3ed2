internal import Glibc
public import Machine
internal import Pcapng

/// A sealed file that an earlier life has left.
public struct EarlierFile: Sendable {
    /// Its name.
    public let name: CacheFileName
    /// What is in it, in short, and which batches these are.
    public let summary: CacheSummary, ranges: [BatchRange]
    /// What each destination is owed of it, of all its batches; nil where nobody knows who there was.
    public internal(set) var owed: OwedFile?
    /// Whether just that is written down beside it.
    public internal(set) var isNoted: Bool

    /// A destination's part is taken out: it is no longer in `owed`.
    public mutating func takePart(of name: String) -> OwedFile.Destination? {
        guard let place = owed?.destinations.firstIndex(where: { $0.name == name }) else { return nil }
        return owed?.destinations.remove(at: place)
    }

    /// Only these batches are good; everybody is owed of them what they were owed before, all where that cannot be told.
    ///
    /// - Parameter ordinals: their places before.
    public mutating func keep(_ good: [DiskBatch], from ordinals: [UInt32]?) {
        guard var left = owed else { return }
        (left.batches, left.packets) = (UInt32(good.count), good.reduce(0) { $0 + UInt64($1.packets) })
        left.destinations = left.destinations.map { $0.among(good, from: ordinals) }
        owed = left
    }

    /// Somebody is owed something of it that is not written down.
    public mutating func isOwedMore() { isNoted = false }

    /// Bytes of the file.
    public var byteCount: UInt64 { summary.footerOffset + UInt64(summary.blockLength) }
}

/// What a start finds in a cache directory: footers are read, and only files that were not sealed are read whole.
public struct EarlierFiles {
    /// All files that can be used, in the order of their names.
    public private(set) var files: [EarlierFile] = []
    /// Packets that destinations were owed of files and that are not there any more, as far as that is known.
    public private(set) var lost: [String: UInt64] = [:]

    private let directory: DirectoryHandle
    private let known: KnownDestinations?
    private let application: String
    private let isDurable: Bool
    private let log: (String) -> Void

    /// Reads a directory. Files that were not sealed are, once their torn tail is cut.
    ///
    /// - Parameters:
    ///   - known: all who were owed what nothing is written down about; nil if nobody knows that.
    ///   - isDurable: whether sealing syncs.
    ///   - log: told what could not be used, and why.
    public init(
        in directory: DirectoryHandle, known: KnownDestinations?, application: String, isDurable: Bool,
        log: @escaping (String) -> Void
    ) throws(SystemError) {
        (self.directory, self.known, self.application) = (directory, known, application)
        (self.isDurable, self.log) = (isDurable, log)
        var notes: [String] = []
        var bases: Set<String> = []
        for text in try directory.names() {
            if text.hasSuffix(".owed") { notes.append(text) }
            guard let name = CacheFileName(parsing: text), bases.insert(name.sealed).inserted else { continue }
            do throws(SystemError) {
                if let file = try open(name) { files.append(file) }
            } catch {
                // One file that cannot be read must not keep the others from being sent.
                log("--spill: \(error); the file is left alone")
            }
        }
        for text in notes where !bases.contains(text.dropLast(5) + ".pcapng") { forget(text) }
    }

    /// A note whose file somebody has removed: what was owed of it is lost.
    private mutating func forget(_ text: String) {
        if let bytes = try? directory.content(text, limit: 16 << 20), let note = try? OwedFile(bytes) {
            for one in note.destinations where one.packets > 0 {
                log("--spill: \(text.dropLast(5)).pcapng: it is gone, with \(one.packets) packets owed to \(one.name)")
                lost[one.name, default: 0] += one.packets
            }
        }
        try? directory.remove(text)
    }

    private mutating func open(_ name: CacheFileName) throws(SystemError) -> EarlierFile? {
        if directory.contains(name.sealed) {
            do throws(CacheError) {
                return try sealed(name)
            } catch {
                guard case .damaged = error else {
                    if case .system(let failure) = error { throw failure }
                    log("--spill: \(directory.path)/\(name.sealed): no file of a relay's cache; it is left alone")
                    return nil
                }
                // Without a good footer it is like a file that was never sealed.
                log("--spill: \(error); the file is read whole")
                if directory.contains(name.open) { try directory.remove(name.open) }
                try directory.rename(name.sealed, toNew: name.open, in: directory)
            }
        }
        guard try seal(name) else { return nil }
        do throws(CacheError) { return try sealed(name) } catch {
            log("--spill: \(error)")
            return nil
        }
    }

    private func sealed(_ name: CacheFileName) throws(CacheError) -> EarlierFile {
        let footer = try CacheReader.footer(name.sealed, in: directory)
        let path = "\(directory.path)/\(name.sealed)"
        guard footer.summary.kind == .spill, footer.summary.batches <= UInt64(Catalogue.batchesPerFile),
            footer.ranges.allSatisfy({ $0.lane.run == name.run })
        else { throw .version(path: path, version: CacheHeader.version) }
        let note = note(of: name)
        let owed = owed(of: name, footer, by: note)
        return EarlierFile(
            name: name, summary: footer.summary, ranges: footer.ranges, owed: owed,
            isNoted: owed == note || owed.map { write($0, for: name) } == true)
    }

    /// What is owed of a sealed file, all of whose batches are spoken of then. A note that contradicts it counts as none.
    private func owed(of name: CacheFileName, _ footer: CacheFooter, by written: OwedFile?) -> OwedFile? {
        let (batches, packets) = (footer.summary.batches, footer.summary.packets)
        var note = written
        if let said = note, !said.canSpeak(of: batches, packets: packets) { note = nil }
        if let note, UInt64(note.batches) == batches { return note }
        let trusts = known?.trustsLanes(of: name.run) == true
        let found = trusts ? CacheWalk.shares(of: name, footer, in: directory) : nil
        if let said = note, let found, !said.agrees(with: found) { note = nil }
        if written != nil, note == nil { sayContradiction(name) }
        var owed = note ?? blank
        if let found { owed?.complete(found) }
        owed?.owe(batches: UInt32(batches), packets: packets)
        return owed
    }

    private func sayContradiction(_ name: CacheFileName) {
        log("--spill: \(OwedFile.name(of: name)): it contradicts its file, and counts as none")
    }

    /// A note that says nothing yet: what comes into it is owed to all who are known, or to those whose share it is.
    private var blank: OwedFile? { (known?.names).map { OwedFile(nothingTo: $0) } }

    /// Writes down what nobody could read there: who is known may change before the file is looked at again.
    private func write(_ owed: OwedFile, for name: CacheFileName) -> Bool {
        do throws(SystemError) {
            try directory.replace(OwedFile.name(of: name), with: owed.bytes, durably: false)
            return true
        } catch {
            log("--spill: \(error)")
            return false
        }
    }

    /// What is written down about a file; nil if nothing is that checks.
    private func note(of name: CacheFileName) -> OwedFile? {
        let bytes = try? directory.content(OwedFile.name(of: name), limit: 16 << 20)
        return bytes.flatMap { try? OwedFile($0) }
    }

    /// Cuts the torn tail and seals; false if there is nothing good in the file, which is then removed, or moved to
    /// `damaged` if it is not empty, and if it is of another version.
    private mutating func seal(_ name: CacheFileName) throws(SystemError) -> Bool {
        var found: [OwedFile.FoundBatch] = []
        var recovered = try CacheFileWriter.recovering(
            name, in: directory, application: application, kind: .spill
        ) { batch, section in
            let trailer = batch.check.trailer
            found.append(.init(packets: trailer.packets, owner: section.owner(ofLane: trailer.lane)))
        }
        let report = recovered.report
        if known?.trustsLanes(of: name.run) != true { for place in found.indices { found[place].owner = nil } }
        if let version = report.foreignVersion {
            log("--spill: \(directory.path)/\(name.open): written in version \(version); the file is left alone")
            return false
        }
        if let header = report.header, header.kind != .spill {
            log("--spill: \(directory.path)/\(name.open): a file of a collector's journal; it is left alone")
            return false
        }
        if report.tornBytes > 0 || report.damagedPlaces > 0 {
            log(
                "--spill: \(name.open): \(report.tornBytes) bytes of a torn end are cut off, \(report.damagedPlaces)"
                    + " damaged places passed over")
        }
        try amendNote(of: name, isDamaged: report.damagedPlaces > 0, found)
        guard var writer = recovered.writer.take(), report.contents.batches > 0 else {
            // Without a head nothing behind it can be understood; that is no reason to throw it away.
            if report.damagedPlaces > 0 || report.header == nil && report.tornBytes > 0 {
                log("--spill: \(name.open): nothing in it is good; it is moved to damaged")
                try directory.setAside(name.open)
            }
            try directory.remove(name.open)
            try directory.remove(OwedFile.name(of: name))
            return false
        }
        try writer.seal(durably: isDurable)
        return true
    }

    /// Has what is written down about a file speak of the batches that are left, before the file is used by it.
    ///
    /// - Parameters:
    ///   - isDamaged: batches between others are gone, and nobody knows how many: those behind have other places now.
    ///   - found: the batches that are left.
    private mutating func amendNote(
        of name: CacheFileName, isDamaged: Bool, _ found: [OwedFile.FoundBatch]
    ) throws(SystemError) {
        var written = note(of: name)
        if let said = written, !isDamaged, Int(said.batches) <= found.count, !said.agrees(with: found) {
            sayContradiction(name)
            try directory.remove(OwedFile.name(of: name))
            written = nil
        }
        guard let before = written ?? (found.isEmpty ? nil : blank) else { return }
        var note = before
        if isDamaged { note.forgetPlaces() } else { note.cut(to: found.map(\.packets)) }
        note.complete(found)
        guard note != before else { return }
        for was in before.destinations {
            let left = note.part(of: was.name)?.packets ?? 0
            if was.packets > left { lost[was.name, default: 0] += was.packets - left }
        }
        try directory.replace(OwedFile.name(of: name), with: note.bytes, durably: isDurable)
    }
}
