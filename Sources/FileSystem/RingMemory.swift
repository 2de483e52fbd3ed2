import Glibc
import Machine

/// What is known of names that a ring of capture files uses again and again.
///
/// Behind the last name of a directory a ring goes on with the first one, once that has been written anew. A file counts as
/// written anew when it changed after the stream was opened and does not begin as it began before.
struct RingMemory {
    private let directory: String
    private let since: UInt64
    private var signatures: [String: [UInt8]] = [:]
    private var hasComeRound = false

    /// Names whose beginnings are remembered.
    private static let namesMax = 256

    init(_ catalogue: Catalogue, _ names: ChainNames, _ options: StreamOptions) {
        directory = names.directory
        // The kernel stamps files by a clock that moves in steps of some milliseconds, so a change can seem a little older.
        since = Clock.realtime() - 20_000_000
        guard names.last == nil, options.order == .name else { return }
        for name in (try? catalogue.names(in: directory).prefix(Self.namesMax)) ?? [] {
            signatures[name] = Self.signature(name, directory, catalogue)
        }
    }

    /// A part was read to its end.
    mutating func remember(_ part: ChainPart) {
        if signatures[part.name] != nil || signatures.count < Self.namesMax { signatures[part.name] = part.signature }
    }

    /// Whether a name that would come next still holds what was there before the ring came round.
    func isStale(_ name: String, _ catalogue: Catalogue) -> Bool {
        hasComeRound && signatures[name] != nil && !isAnew(name, signatures[name]!, catalogue)
    }

    /// The first name, from the beginning of the directory up to the current one, that was written anew.
    mutating func reused(behind part: ChainPart, _ catalogue: Catalogue) -> String? {
        guard let names = try? catalogue.names(in: directory).prefix(Self.namesMax) else { return nil }
        for name in names {
            guard let known = name == part.name ? part.signature : signatures[name], isAnew(name, known, catalogue)
            else { continue }
            hasComeRound = true
            return name
        }
        return nil
    }

    private func isAnew(_ name: String, _ known: [UInt8], _ catalogue: Catalogue) -> Bool {
        guard let status = try? catalogue.source.status(joined(directory, name)), status.modified > since
        else { return false }
        let now = Self.signature(name, directory, catalogue)
        return !now.starts(with: known) || known.isEmpty && !now.isEmpty
    }

    private static func signature(_ name: String, _ directory: String, _ catalogue: Catalogue) -> [UInt8] {
        guard let (file, _) = try? catalogue.source.openFile(joined(directory, name)) else { return [] }
        defer { close(file) }
        return ChainPart.signature(of: file)
    }
}
