internal import CFuse
import Glibc
import Machine

/// Where a chain begins and ends.
struct ChainNames: Hashable {
    let directory: String
    let first: String
    /// The last file, included; nil goes on for ever.
    let last: String?
}

/// What a read of a stream found.
enum ReadOutcome: Equatable {
    case bytes(Int)
    /// Nothing yet; more may come.
    case wait
    case end
    case failure(Int32)
}

/// The capture files of a directory as one stream of bytes, from a first file on.
///
/// A table of parts says where in the stream each file stands. The last part is the one that may grow; when it is done,
/// what follows it is looked for. A class because streams share its state with their readers; used under the lock of its
/// stream only.
final class Chain {
    let names: ChainNames
    let options: StreamOptions
    let catalogue: Catalogue
    /// Asked when a further file is about to begin: whether the one just completed is the last, given what would come next.
    private let endsAfter: (_ completed: String, _ next: String) -> Bool
    let log: @Sendable (String) -> Void

    var parts: [ChainPart] = []
    var format: StreamFormat?
    /// The files of a closed range that are still to come, in their order.
    var remaining: [String] = []
    /// The end was reached: nothing is behind the last part.
    private(set) var hasEnded = false
    /// What no later read gets past.
    private(set) var failure: Int32?
    /// Until when the current file is given time to be closed, by the monotonic clock.
    private(set) var deadline: UInt64?
    /// The file that would have come next when the stream was ended by `.end` or by its cluster.
    private(set) var following: String?
    /// Files of which something was given on and that are done.
    private(set) var filesDone = 0
    /// The last thing that was wrong, for people.
    private(set) var problem = ""
    /// Whether names of other files changed since a reused name was looked for.
    var namesChanged = true
    var ring: RingMemory
    /// A name that comes next but has no header yet.
    var upcoming: String?

    /// Whether files have to be looked at every now and then, because nothing tells when they change.
    let isPolled: Bool
    /// Finished files that are kept open, the one used last at the end.
    private var openParts: [ChainPart] = []
    private static let openPartsMax = 8

    init(
        _ names: ChainNames, _ options: StreamOptions, _ catalogue: Catalogue,
        log: @escaping @Sendable (String) -> Void,
        endsAfter: @escaping (_ completed: String, _ next: String) -> Bool
    ) throws(Errno) {
        self.names = names
        self.options = options
        self.catalogue = catalogue
        self.log = log
        self.endsAfter = endsAfter
        isPolled = options.follow == .poll || !catalogue.source.tellsOfChanges(names.directory)
        ring = RingMemory(catalogue, names, options)
        if let last = names.last {
            remaining = try catalogue.range(from: names.first, to: last, in: names.directory, order: options.order)
        }
    }

    /// Bytes of the stream that are known so far.
    var knownEnd: UInt64 { parts.last?.end ?? 0 }
    /// The part that may grow.
    var current: ChainPart? { parts.last }

    /// Neither begins a file nor ends one, which are things that readers decide about.
    func readAhead(_ target: UnsafeMutableRawBufferPointer, at offset: UInt64) -> Int {
        guard failure == nil, !parts.isEmpty else { return 0 }
        let part = part(at: offset)
        guard offset >= part.start, part.canReadAhead(target.count, at: offset) else { return 0 }
        guard let count = try? unsafe part.read(target, at: part.skipped + (offset - part.start)) else { return 0 }
        return count
    }

    func readOnce(_ target: UnsafeMutableRawBufferPointer, at position: UInt64) -> ReadOutcome {
        do throws(Errno) {
            if parts.isEmpty, let outcome = try begin() { return outcome }
            let part = part(at: position)
            if part.length != nil && position < part.end {
                let count = try unsafe part.readFinished(target, at: position)
                if part !== parts.last { keepOpen(part) }
                return .bytes(count)
            }
            if hasEnded { return .end }
            // What was given on before can be read again.
            if let failure, position >= part.end { return .failure(failure) }
            if part.length != nil { return try goOn(from: part) }
            let count = try unsafe part.read(target, at: part.skipped + (position - part.start))
            if count > 0 { return .bytes(count) }
            return try atEndOfData(of: part, position)
        } catch {
            report("\(current?.name ?? names.first): \(SystemError("read", code: error.code).reason)")
            return .failure(error.code)
        }
    }

    /// Notes that a finished file is in use, and closes the one that was not for the longest time.
    func keepOpen(_ part: ChainPart) {
        if openParts.last === part { return }
        openParts.removeAll { $0 === part }
        openParts.append(part)
        if openParts.count > Self.openPartsMax { openParts.removeFirst().rest() }
    }

    /// The part that holds a position, the last one for all that is behind it.
    private func part(at position: UInt64) -> ChainPart {
        if let last = parts.last, position >= last.start { return last }
        var (low, high) = (0, parts.count)
        while low < high {
            let middle = (low + high) / 2
            if parts[middle].start <= position { low = middle + 1 } else { high = middle }
        }
        return parts[max(0, low - 1)]
    }

    /// The current file has no more bytes for now.
    private func atEndOfData(of part: ChainPart, _ position: UInt64) throws(Errno) -> ReadOutcome {
        guard let status = part.status() else { throw Errno(EIO) }
        if part.isOverwritten(status) {
            report("\(part.name): it was overwritten while it was being read; what was not read yet is lost")
            return try leave(part)
        }
        switch part.stop {
        case .nothing, .zeros: break
        case .damage: return fail(EIO, "\(part.name): at offset \(part.reached): a length that cannot be right")
        case .tooLong:
            return fail(EIO, "\(part.name): at offset \(part.reached): a packet longer than the stream's header allows")
        }
        if position > part.end { return try jump(part, to: position, status) }
        let next = try nextName(after: part, status)
        guard isDone(part, status, hasSuccessor: next != nil) else {
            waitForDirectory(status)
            return .wait
        }
        if let next {
            // What was written between the last read and the close of the file.
            if Self.hasGrown(part, status) { return .wait }
            return try go(from: part, to: next)
        }
        if names.last == part.name || (names.last != nil && remaining.isEmpty) { return finish(part) }
        return .wait
    }

    /// Nothing tells that a directory is gone as long as a file of it is open, so with a deleted file it is looked for.
    private func waitForDirectory(_ status: SourceStatus) {
        if status.status.st_nlink == 0 { deadline = deadline ?? Clock.monotonic() + options.settle }
    }

    /// Whether the file is longer than what was read, so that it has to be read again.
    private static func hasGrown(_ part: ChainPart, _ status: SourceStatus) -> Bool {
        guard part.stop == .nothing, let now = part.status() else { return false }
        return now.size > status.size
    }

    /// Whether nothing more is to be expected of the current file.
    private func isDone(_ part: ChainPart, _ status: SourceStatus, hasSuccessor: Bool) -> Bool {
        deadline = nil
        let isLast = names.last == part.name || (names.last != nil && remaining.isEmpty)
        guard hasSuccessor || isLast else { return false }
        let writer = part.hasWriter
        if writer == false { return true }
        // Somebody still has it open, or nobody knows: then it is done when it has been quiet for long enough, and a
        // file that is the last of its directory is never done while it is open.
        if writer == true && isLast && !hasSuccessor && !hasLater(part, status) { return false }
        let now = Clock.monotonic()
        let quiet = now - part.lastGrowth
        let unchanged = Clock.realtime() &- min(status.modified, Clock.realtime())
        if (writer == nil ? max(quiet, unchanged) : min(quiet, unchanged)) >= options.settle {
            if writer == true { report("\(part.name): still open for writing but quiet; going on") }
            return true
        }
        deadline = now + options.settle - min(options.settle, min(quiet, unchanged)) + 1_000_000
        return false
    }

    private func hasLater(_ part: ChainPart, _ status: SourceStatus) -> Bool {
        guard let key = catalogue.key(of: part.name, in: names.directory, order: options.order, status: status)
        else { return false }
        return (try? catalogue.successor(of: key, in: names.directory, order: options.order)) != nil
    }

    /// The file is done and was the last one.
    func finish(_ part: ChainPart) -> ReadOutcome {
        noteIfWhole(part)
        if let problem = part.finish() { report("\(part.name): \(problem)") }
        filesDone += 1
        hasEnded = true
        return part.completion.isEmpty ? .end : .bytes(0)
    }

    /// What was found out on the way spares a later reader the same.
    private func noteIfWhole(_ part: ChainPart) {
        guard let status = part.status(), part.isWhole(status) else { return }
        catalogue.wholeFiles.note(FileContent(status), isWhole: true)
    }

    /// The current file ends here, whatever comes.
    private func leave(_ part: ChainPart) throws(Errno) -> ReadOutcome {
        _ = part.finish()
        filesDone += 1
        namesChanged = true
        if let next = ring.oldestLeft(behind: part, catalogue) { return try append(next, behind: part) }
        ring.remember(part)
        return try goOn(from: part)
    }

    /// The current file is done; what comes behind it was not there yet when that was found.
    private func goOn(from part: ChainPart) throws(Errno) -> ReadOutcome {
        deadline = nil
        guard let status = part.status() else { throw Errno(EIO) }
        guard let next = try nextName(after: part, status) else {
            if names.last != nil && remaining.isEmpty { hasEnded = true }
            return hasEnded ? .end : .wait
        }
        return try append(next, behind: part)
    }

    /// Completes the current file and begins the next one, unless the stream is to end in between.
    private func go(from part: ChainPart, to next: String) throws(Errno) -> ReadOutcome {
        if part.length == nil {
            noteIfWhole(part)
            if let problem = part.finish() { report("\(part.name): \(problem)") }
            filesDone += 1
            ring.remember(part)
            if endsAfter(part.name, next) {
                following = next
                hasEnded = true
                return .end
            }
        }
        return try append(next, behind: part)
    }

    /// A reader asks for what is far ahead: files that are passed on the way are taken at their size.
    private func jump(_ part: ChainPart, to position: UInt64, _ status: SourceStatus) throws(Errno) -> ReadOutcome {
        guard position > part.start + max(status.size, part.skipped) - part.skipped else {
            // Within the file, but not given on: reserved space.
            return .failure(EINVAL)
        }
        guard let next = try nextName(after: part, status) else {
            if isDone(part, status, hasSuccessor: false) {
                part.finish(atSize: status.size)
                hasEnded = true
                return .end
            }
            return .failure(EINVAL)
        }
        guard isDone(part, status, hasSuccessor: true) else { return .failure(EINVAL) }
        part.finish(atSize: status.size)
        filesDone += 1
        ring.remember(part)
        return try append(next, behind: part)
    }

    /// The stream ends at the end of the file that is being read; for clusters with a member less.
    func endHere() { hasEnded = true }

    /// Something that no reader of this stream gets past.
    func fail(_ code: Int32, _ reason: String) -> ReadOutcome {
        report(reason)
        failure = code
        return .failure(code)
    }

    /// Something worth a line that does not end the stream.
    func report(_ text: String) {
        let line = joined(names.directory, text)
        if line != problem { log(line) }
        problem = line
    }

    /// Time for a file without a header to get one.
    func waitForHeader() { deadline = Clock.monotonic() + options.settle }
}
