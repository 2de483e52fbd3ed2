internal import Capture
internal import Machine
internal import Pcapng
internal import Synchronization

/// Lets one link type into a run: the first one that comes. Registers interfaces and compiles the filter for it.
final class LinkTypeGate: Sendable {
    private let registry: InterfaceRegistry
    private let expression: String?
    private let divertible: String?
    private let slots: [FilterSlot]
    private let chosen = Mutex<LinkType?>(nil)

    /// - Parameters:
    ///   - slots: one per worker; all get the same filters.
    ///   - divertible: the filter of what may be diverted; nil for everything.
    init(registry: InterfaceRegistry, expression: String?, divertible: String? = nil, slots: [FilterSlot]) {
        self.divertible = divertible
        self.registry = registry
        self.expression = expression
        self.slots = slots
    }

    /// The link type of the run, nil before the first interface was admitted.
    var linkType: LinkType? { chosen.withLock { $0 } }

    /// Admits an interface and returns its id in the run.
    ///
    /// - Parameters:
    ///   - filterInUserSpace: whether the workers are to apply the expression (a live source does it in the kernel).
    ///   - source: what is named in the error, for example the file.
    func admit(
        _ label: InterfaceLabel, filterInUserSpace: Bool, source: String
    ) throws(RelayError) -> UInt32 {
        let linkType = LinkType(label.linkType)
        try choose(linkType, filterInUserSpace: filterInUserSpace, source: source)
        guard let id = registry.register(StreamBlocks.interface(label)) else {
            throw RelayError(.badData, "\(source): more interfaces than a run can have (\(InterfaceRegistry.capacity))")
        }
        return id
    }

    private func choose(_ linkType: LinkType, filterInUserSpace: Bool, source: String) throws(RelayError) {
        let before = chosen.withLock { present in
            defer { if present == nil { present = linkType } }
            return present
        }
        if let before {
            guard before == linkType else {
                throw RelayError(
                    .badData,
                    "\(source): link type \(linkType) does not go with \(before) in one run; relay it by itself")
            }
            return
        }
        let filter = try filterInUserSpace ? compiled(expression, "-f", linkType) : nil
        let other = try compiled(divertible, "--admit-match", linkType)
        for slot in slots { slot.set(linkType: linkType.value, filter: filter, divertible: other) }
    }

    private func compiled(
        _ expression: String?, _ option: String, _ linkType: LinkType
    ) throws(RelayError) -> PacketFilter? {
        guard let expression else { return nil }
        do throws(PacketFilterError) {
            return try PacketFilter(expression, linkType: linkType, snapLength: 262144)
        } catch {
            throw RelayError(.usage, "\(option) \(expression): \(error)")
        }
    }
}
