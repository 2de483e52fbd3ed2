internal import CFuse
import Glibc
import Machine

/// Finding, opening and joining the files of a chain.
extension Chain {
    /// Opens the first file that has a header; nil when reading can begin.
    func begin() throws(Errno) -> ReadOutcome? {
        var name = parts.isEmpty ? upcoming ?? names.first : names.first
        while true {
            switch try open(name) {
            case .opened(let file, let status, let format):
                try add(first: name, file, status, format)
                upcoming = nil
                return nil
            case .gone:
                return fail(ENOENT, "\(name): it is gone")
            case .empty(let status, let isIdle):
                upcoming = name
                let next = try nextName(behind: name, status)
                guard isIdle || isQuiet(status), next != nil || names.last == name else {
                    waitForHeader()
                    return .wait
                }
                guard let next else { return .end }
                name = next
            case .foreign(let reason):
                return fail(EINVAL, "\(name): \(reason)")
            }
        }
    }

    /// The name that follows the current part, skipping what is no capture file; nil if there is none yet.
    func nextName(after part: ChainPart, _ status: SourceStatus) throws(Errno) -> String? {
        if let upcoming, names.last == nil { return upcoming }
        if names.last != nil { return remaining.first { $0 != part.name } }
        if let name = try nextName(behind: part.name, status) {
            return ring.isStale(name, catalogue) ? nil : name
        }
        guard options.order == .name, namesChanged else { return nil }
        namesChanged = false
        return ring.reused(behind: part, catalogue)
    }

    private func nextName(behind name: String, _ status: SourceStatus) throws(Errno) -> String? {
        if names.last != nil {
            guard let index = remaining.firstIndex(of: name) else { return remaining.first }
            return index + 1 < remaining.count ? remaining[index + 1] : nil
        }
        guard let key = catalogue.key(of: name, in: names.directory, order: options.order, status: status)
        else { return nil }
        return try catalogue.successor(of: key, in: names.directory, order: options.order)
    }

    /// Makes the next file the current one; passes over files that are gone, empty for good, or no captures.
    func append(_ first: String, behind part: ChainPart) throws(Errno) -> ReadOutcome {
        var name = first
        while true {
            switch try open(name) {
            case .opened(let file, let status, let format):
                upcoming = nil
                return try join(name, file, status, format, behind: part)
            case .gone:
                report("\(name): it was deleted before it was read; passed over")
                upcoming = nil
                guard let next = try skip(name, nil) else { return .wait }
                name = next
            case .foreign(let reason):
                report("\(name): passed over: \(reason)")
                guard let next = try skip(name, nil) else { return .wait }
                name = next
            case .empty(let status, let isIdle):
                upcoming = name
                let next = try nextName(behind: name, status)
                guard isIdle || isQuiet(status), next != nil || names.last == name else {
                    waitForHeader()
                    return .wait
                }
                drop(name)
                guard let next else { return finish(part) }
                name = next
            }
        }
    }

    private enum Opened {
        case opened(Int32, SourceStatus, CaptureFormat)
        case gone
        /// No header yet; and whether it is known that nobody writes one.
        case empty(SourceStatus, isIdle: Bool)
        case foreign(String)
    }

    private func open(_ name: String) throws(Errno) -> Opened {
        let file: Int32
        let status: SourceStatus
        do throws(Errno) {
            (file, status) = try catalogue.source.openFile(joined(names.directory, name))
        } catch {
            if error.code == ENOENT || error.code == ESTALE { return .gone }
            if error.code == EINVAL || error.code == EACCES { return .foreign("it cannot be opened") }
            throw error
        }
        switch CaptureFormat.probe(file) {
        case .capture(let format): return .opened(file, status, format)
        case .undetermined:
            defer { close(file) }
            return .empty(status, isIdle: spillway_has_writer(file) == 0)
        case .foreign(let reason): close(file); return .foreign(reason)
        }
    }

    private func add(first name: String, _ file: Int32, _ status: SourceStatus, _ format: CaptureFormat) throws(Errno) {
        let stream = StreamFormat(first: format, followed: try followingFormats(name))
        self.format = stream
        let conversion = stream.conversionOfFirst(format)
        drop(name)
        parts.append(
            ChainPart(
                name, path: joined(names.directory, name), source: catalogue.source, file: file, status: status,
                format: format, conversion: conversion, start: 0, skipped: 0,
                header: stream.header(insteadOf: format)))
    }

    /// The formats of the other files of a closed range, which decide what the first header promises.
    private func followingFormats(_ first: String) throws(Errno) -> [CaptureFormat] {
        var formats: [CaptureFormat] = []
        for name in remaining where name != first {
            guard case .opened(let file, _, let format) = try open(name) else { continue }
            close(file)
            formats.append(format)
        }
        return formats
    }

    private func join(
        _ name: String, _ file: Int32, _ status: SourceStatus, _ next: CaptureFormat, behind part: ChainPart
    ) throws(Errno) -> ReadOutcome {
        let conversion: Conversion
        switch format!.conversion(of: next) {
        case .success(let found): conversion = found
        case .failure(let mismatch):
            close(file)
            return fail(EIO, "\(name): \(mismatch.reason)")
        }
        drop(name)
        parts.append(
            ChainPart(
                name, path: joined(names.directory, name), source: catalogue.source, file: file, status: status,
                format: next, conversion: conversion, start: part.end,
                skipped: next.container == .classic ? UInt64(next.headerBytes) : 0))
        keepOpen(part)
        return .bytes(0)
    }

    /// A name of a closed range is done with.
    private func drop(_ name: String) {
        if let index = remaining.firstIndex(of: name) { remaining.removeSubrange(...index) }
    }

    /// What comes behind a name that is passed over.
    private func skip(_ name: String, _ status: SourceStatus?) throws(Errno) -> String? {
        if names.last != nil {
            drop(name)
            return remaining.first
        }
        guard let key = catalogue.key(of: name, in: names.directory, order: options.order, status: status)
        else { return nil }
        return try catalogue.successor(of: key, in: names.directory, order: options.order)
    }

    /// Whether a file without a header has been left alone for so long that none is to be expected.
    private func isQuiet(_ status: SourceStatus) -> Bool {
        let now = Clock.realtime()
        return now > status.modified && now - status.modified >= options.settle
    }
}

extension StreamFormat {
    /// The first 24 bytes of a classic stream whose header promises more than the first file's own; else nothing.
    func header(insteadOf first: CaptureFormat) -> [UInt8] {
        guard first.container == .classic,
            format.isNanoseconds != first.isNanoseconds || format.snapLength != first.snapLength
        else { return [] }
        var words: [UInt32] = [format.isNanoseconds ? 0xa1b2_3c4d : 0xa1b2_c3d4]
        // Version 2.4 as one word, in this machine's order.
        words += [first.isSwapped ? 2 << 16 | 4 : 4 << 16 | 2, 0, 0, format.snapLength, first.linkType]
        return words.flatMap { word in
            (0..<4).map { UInt8(truncatingIfNeeded: word >> ((first.isSwapped ? 3 - $0 : $0) * 8)) }
        }
    }
}
