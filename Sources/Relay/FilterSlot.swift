internal import Capture
internal import Machine

/// The link type of a run and its compiled filter: set once by the thread that meets the first interface, before the
/// first packet, and read by the worker after that.
@safe struct FilterSlot: @unchecked Sendable {
    // Safe because the one write happens before the first packet is handed over, by a release the worker acquires.
    private let linkTypeCell: UnsafeMutablePointer<UInt16>
    private let filterCell: UnsafeMutablePointer<PacketFilter?>
    private let hasFilter: UnsafeMutablePointer<Bool>
    private let divertibleCell: UnsafeMutablePointer<PacketFilter?>

    /// An empty slot: every packet matches.
    init() {
        unsafe linkTypeCell = UnsafeMutablePointer.allocate(capacity: 1)
        unsafe filterCell = UnsafeMutablePointer.allocate(capacity: 1)
        unsafe hasFilter = UnsafeMutablePointer.allocate(capacity: 1)
        unsafe linkTypeCell.initialize(to: 0)
        unsafe filterCell.initialize(to: nil)
        unsafe hasFilter.initialize(to: false)
        unsafe divertibleCell = UnsafeMutablePointer.allocate(capacity: 1)
        unsafe divertibleCell.initialize(to: nil)
    }

    /// The link type of the run (LINKTYPE_ number).
    var linkType: UInt16 {
        @_noLocks get { unsafe linkTypeCell.pointee }
    }

    /// Fills the slot. Control plane.
    ///
    /// - Parameter divertible: what may be diverted; nil for everything.
    func set(linkType: UInt16, filter: PacketFilter?, divertible: PacketFilter? = nil) {
        unsafe divertibleCell.pointee = divertible
        unsafe linkTypeCell.pointee = linkType
        unsafe filterCell.pointee = filter
        unsafe hasFilter.pointee = filter != nil
    }

    /// Whether the packet may be diverted.
    @_noLocks func isDivertible(_ bytes: UnsafeRawPointer, captured: UInt32, original: UInt32) -> Bool {
        guard let filter = unsafe divertibleCell.pointee else { return true }
        return unsafe filter.matches(bytes, captured: captured, original: original)
    }

    /// Whether the packet passes.
    @_noLocks func matches(_ bytes: UnsafeRawPointer, captured: UInt32, original: UInt32) -> Bool {
        guard unsafe hasFilter.pointee else { return true }
        return unsafe filterCell.pointee!.matches(bytes, captured: captured, original: original)
    }
}
