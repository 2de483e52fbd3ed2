internal import CMachine

/// Every durable step of the program, by name. A test lets the process die right behind one, as if by kill -9, and looks
/// at what the next life makes of it.
///
/// `SPILLWAY_CRASH_AT=NAME:COUNT` in the environment arms one: the process ends by SIGKILL when it passes the point for
/// the COUNTth time. Nothing is armed otherwise, and passing costs one comparison.
public enum CrashPoint: Int32, CaseIterable, Sendable {
    // Cache files.
    case cacheCreated = 1, cachePreambleWritten, cacheBatchesHalfWritten, cacheBatchesWritten, cacheSynced
    case cacheFooterWritten, cacheRenamed, cacheTailCut
    // Files made from the journal.
    case sealPartCreated, sealIntentTemporary, sealIntentRenamed, sealIntentWritten
    case sealHalfSorted, sealSorted, sealSynced, sealRenamed, sealDirectorySynced
    case sealStateWritten, sealCopyWritten, sealJournalRemoved, sealIntentRemoved
    // State files.
    case stateTemporary, stateRenamed
    // The spill cache.
    case cacheRemoved
    // Acknowledgement.
    case acknowledgementQueued
    // Repair and export of a cache.
    case repairWritten, repairSetAside, repairReplaced, repairRenamed
    case exportCreated, exportRunWritten, exportComplete, exportSynced, exportRenamed
    // Files from other machines.
    case receivePartCreated, receiveJournalCreated, receivePieceWritten, receivePieceNoted, receiveSynced
    case receiveRenamed, receiveDirectorySynced, receiveJournalRemoved

    /// The name in `SPILLWAY_CRASH_AT`.
    public var name: String { "\(self)" }

    /// The process may end here.
    @_noLocks public func pass() { spillway_crash_pass(rawValue) }

    /// Arms what `text` says, `NAME` or `NAME:COUNT`; false if it says nothing known.
    public static func arm(_ text: String) -> Bool {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count <= 2, let point = allCases.first(where: { $0.name == parts[0] }),
            let count = parts.count == 2 ? Int32(parts[1]) : 1, count > 0
        else { return false }
        spillway_crash_arm(point.rawValue, count)
        return true
    }
}

extension CrashPoint {
    /// Whether the process is going to end here; for steps that are only taken apart to be interrupted.
    public var isArmed: Bool { @_noLocks get { spillway_crash_is_armed(rawValue) != 0 } }
}
