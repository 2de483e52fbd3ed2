import TestSupport
import Testing

/// The report of a run, as the JSON says it.
struct Report {
    private let tree: JSON

    init(_ text: [UInt8]) throws { tree = try JSON(text) }

    /// A top-level count.
    func count(_ name: String) throws -> UInt64 {
        try #require(tree[name]?.count, "the report's \(name)")
    }

    /// A top-level count by reason.
    func count(_ name: String, _ reason: String) throws -> UInt64 {
        try #require(tree[name]?[reason]?.count, "the report's \(name){\(reason)}")
    }

    /// Any member.
    subscript(_ name: String) -> JSON? { tree[name] }

    /// Destinations in the order of the report.
    var destinations: [DestinationReport] {
        guard case .array(let items) = tree["destinations"] else { return [] }
        return items.map(DestinationReport.init)
    }

    /// The destination of this name.
    func destination(_ name: String) throws -> DestinationReport {
        try #require(destinations.first { $0.name == name }, "the report's destination \(name)")
    }

    /// The only destination.
    func onlyDestination() throws -> DestinationReport {
        #expect(destinations.count == 1)
        return try #require(destinations.first)
    }

    /// The reasons of an object such as `dropped`, with their counts.
    func reasons(_ name: String) -> [String: UInt64] { JSON.reasons(tree[name]) }
}

/// One destination in a report.
struct DestinationReport {
    let tree: JSON

    var name: String { if case .text(let text) = tree["name"] { text } else { "" } }
    var isUp: Bool { if case .flag(let isUp) = tree["up"] { isUp } else { false } }
    /// Drop reasons with their counts.
    var dropped: [String: UInt64] { JSON.reasons(tree["dropped"]) }
    /// Drop reasons that were met.
    var losses: [String: UInt64] { dropped.filter { $0.value > 0 } }

    func count(_ name: String) throws -> UInt64 {
        try #require(tree[name]?.count, "\(self.name)'s \(name)")
    }
}

extension JSON {
    fileprivate static func reasons(_ tree: JSON?) -> [String: UInt64] {
        guard case .object(let members) = tree else { return [:] }
        return members.compactMapValues(\.count)
    }
}

/// Checks a report against the ledger, which every run must satisfy at its end:
///
/// ```
/// captured = in_ring + received + dropped{kernel, ring, ...}
/// received = filtered + merged + in_worker + dropped{worker's} + encoded
/// carried_in + assigned + taken_over
///          = delivered + in_memory + on_disk + expired + handed_over + dropped    per destination
/// ```
///
/// - Parameters:
///   - captured: what the oracle says came in; nil where the test says it otherwise.
///   - encoded: what the oracle says went into batches.
///   - shared: whether all destinations share the batches.
///   - guests: destinations that were not there all the time.
/// - Returns: the report.
@discardableResult
func expectLedger(
    _ result: RelayResult, captured: Int? = nil, encoded: Int? = nil, shared: Bool = false, guests: Set<String> = [],
    sourceLocation: SourceLocation = #_sourceLocation
) throws -> Report {
    let report = try #require(result.report, "a report of \(result.command.commandLine)\n\(result.command.errorText)")
    let dropped = report.reasons("dropped")
    let atCapture: Set = [
        "kernel", "ring", "link_type", "fill_ring_empty", "rx_ring_full", "oversize", "redirect", "unexplained",
    ]
    // Any reason but these and the worker's own would be one this check does not know.
    #expect(Set(dropped.keys) == atCapture.union(["pool_full"]), sourceLocation: sourceLocation)
    let lostAtCapture = dropped.filter { atCapture.contains($0.key) }.values.reduce(0, +)
    let lostAtWorker = dropped.filter { !atCapture.contains($0.key) }.values.reduce(0, +)
    let received = try report.count("received")
    #expect(try report.count("in_ring") == 0, sourceLocation: sourceLocation)
    #expect(try report.count("in_worker") == 0, sourceLocation: sourceLocation)
    #expect(try report.count("captured") == received + lostAtCapture, sourceLocation: sourceLocation)
    let filtered = report.reasons("filtered").values.reduce(0, +)
    let accounted = try filtered + report.count("merged") + report.count("encoded") + lostAtWorker
    #expect(received == accounted, sourceLocation: sourceLocation)
    if let captured { #expect(try report.count("captured") == UInt64(captured), sourceLocation: sourceLocation) }
    if let encoded { #expect(try report.count("encoded") == UInt64(encoded), sourceLocation: sourceLocation) }
    for destination in report.destinations {
        let isApart = shared || guests.contains(destination.name)
        try expectLedger(destination, encoded: isApart ? nil : report.count("encoded"), sourceLocation)
    }
    if shared {
        // The shares add up.
        let sum = try report.destinations.map { try $0.count("assigned") }.reduce(0, +)
        #expect(try sum == report.count("encoded"), sourceLocation: sourceLocation)
    }
    return report
}

private func expectLedger(
    _ destination: DestinationReport, encoded: UInt64?, _ sourceLocation: SourceLocation
) throws {
    let owed = try ["carried_in", "assigned", "taken_over"].map(destination.count).reduce(0, +)
    let gone = try ["delivered", "in_memory", "on_disk", "expired", "handed_over"].map(destination.count)
    let lost = destination.dropped.values.reduce(0, +)
    #expect(owed == gone.reduce(0, +) + lost, "\(destination.name)", sourceLocation: sourceLocation)
    #expect(try destination.count("in_memory") == 0, "\(destination.name)", sourceLocation: sourceLocation)
    // Everything goes to everybody; a listener's readers come and go.
    guard let encoded, !destination.name.hasPrefix("listen:") else { return }
    #expect(try destination.count("assigned") == encoded, "\(destination.name)", sourceLocation: sourceLocation)
}
