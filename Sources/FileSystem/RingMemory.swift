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
    private let isFollowing: Bool

    /// Names whose beginnings are remembered.
    private static let namesMax = 256

    init(_ catalogue: Catalogue, _ names: ChainNames, _ options: StreamOptions) {
        directory = names.directory
        // The kernel stamps files by a clock that moves in steps of some milliseconds, so a change can seem a little older.
        since = Clock.realtime() - 20_000_000
        isFollowing = names.last == nil && options.order == .name
        guard isFollowing else { return }
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

    /// The name that was written anew the longest time ago.
    mutating func reused(behind part: ChainPart, _ catalogue: Catalogue) -> String? {
        let name = oldest(catalogue) { name, _ in isWrittenAnew(name, behind: part, catalogue) }
        if name != nil { hasComeRound = true }
        return name
    }

    /// After a part was overwritten by a ring that is faster than its reader: the oldest of what the ring still holds and
    /// was not read. Nil for streams that follow no ring.
    mutating func oldestLeft(behind part: ChainPart, _ catalogue: Catalogue) -> String? {
        guard isFollowing else { return nil }
        let name = oldest(catalogue) { name, isBehind in
            isWrittenAnew(name, behind: part, catalogue) || isBehind(part.name) && !hasComeRound
        }
        if let name, isWrittenAnew(name, behind: part, catalogue) { hasComeRound = true }
        // What is read next is known by how it began before, until it has been read.
        if name != part.name { signatures[part.name] = part.signature }
        return name
    }

    private func isWrittenAnew(_ name: String, behind part: ChainPart, _ catalogue: Catalogue) -> Bool {
        let known = name == part.name ? part.signature : signatures[name]
        return known.map { isAnew(name, $0, catalogue) } ?? false
    }

    /// Of the names that are wanted the one whose file was changed the longest time ago.
    ///
    /// - Parameter isWanted: gets a name, and what tells whether it stands behind another one.
    private func oldest(_ catalogue: Catalogue, _ isWanted: (String, (String) -> Bool) -> Bool) -> String? {
        guard let names = try? catalogue.names(in: directory).prefix(Self.namesMax) else { return nil }
        var best: (name: String, modified: UInt64)?
        for (place, name) in names.enumerated() {
            let isBehind: (String) -> Bool = { names.firstIndex(of: $0).map { $0 < place } ?? false }
            guard isWanted(name, isBehind), let status = try? catalogue.source.status(joined(directory, name)),
                best == nil || status.modified < best!.modified
            else { continue }
            best = (name, status.modified)
        }
        return best?.name
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
