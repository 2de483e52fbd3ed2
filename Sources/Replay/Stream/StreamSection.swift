internal import Pcapng
internal import SpillCache

/// What a connection has been told so far: batches of another run come behind a fresh section header, and each batch behind
/// the descriptions of its interfaces and lanes.
struct StreamSection {
    private let header: [UInt8]
    private var run: RunIdentity?
    private var interfaces = 0
    private var lanes: Set<[UInt8]> = []

    /// A connection that nothing was sent on.
    init(sensor: String, application: String) {
        header = StreamBlocks.sectionHeader(
            hardware: nil, system: "Linux", application: "\(application), sensor \(sensor)")
    }

    /// The section header that was said before anything else, in a greeting.
    var greeting: [UInt8] { header }

    /// What must be said before a batch of this run.
    mutating func blocks(before description: RunDescription) -> [UInt8] {
        var blocks: [UInt8] = []
        if run != description.run {
            blocks += header
            (run, interfaces, lanes) = (description.run, 0, [])
        }
        for block in description.interfaces.dropFirst(interfaces) { blocks += block }
        interfaces = max(interfaces, description.interfaces.count)
        for block in description.lanes where lanes.insert(block).inserted { blocks += block }
        return blocks
    }
}
