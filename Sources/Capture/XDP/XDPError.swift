/// Why an interface cannot be captured from through AF_XDP, or not any more.
public enum XDPError: Error, Sendable, Equatable, CustomStringConvertible {
    /// There is no interface of this name.
    case noSuchInterface(String)
    /// The interface is configured down.
    case isDown(String)
    /// Its packets do not begin with an Ethernet header.
    case notEthernet(String)
    /// It has fewer receive queues.
    case noSuchQueue(String, queue: UInt32, count: UInt32)
    /// The process may not do this; the capabilities it needs.
    case notPermitted(String, doing: String, needs: String)
    /// Another process of this program captures from it.
    case isClaimed(String)
    /// Somebody else's XDP program is attached.
    case foreignProgram(String, program: String, identifier: UInt32)
    /// The kernel or the driver refused this rung of the ladder, for this reason.
    case refused(String, rung: XDPRung, reason: String, advice: String)
    /// Somebody detached the program while it was captured from.
    case detached(String)
    /// The interface was removed while it was captured from.
    case removed(String)

    /// The interface and the reason, with what would help.
    public var description: String {
        switch self {
        case .noSuchInterface(let name): "\(name): there is no such interface"
        case .isDown(let name): "\(name): the interface is down; set it up with: ip link set \(name) up"
        case .notEthernet(let name): "\(name): AF_XDP captures Ethernet only; use --capture af-packet"
        case .noSuchQueue(let name, let queue, let count):
            "\(name)@\(queue): there is no such receive queue, it has \(count) (0 to \(count - 1)); see ethtool -l"
        case .notPermitted(let name, let doing, let needs): "\(name): \(doing) needs the capability \(needs)"
        case .isClaimed(let name): "\(name): another spillway captures from it"
        case .foreignProgram(let name, let program, let identifier):
            "\(name): the XDP program \(program) (id \(identifier)) is attached, and is left alone;"
                + " remove it with: ip link set \(name) xdp off, or use --capture af-packet"
        case .refused(let name, let rung, let reason, let advice):
            "\(name): \(rung.rawValue) is not available: \(reason); \(advice)"
        case .detached(let name):
            "\(name): somebody detached the XDP program (bpftool link detach), so nothing arrives any more"
        case .removed(let name): "\(name): the interface was removed"
        }
    }
}

/// The upper rungs of the capture ladder, best first.
public enum XDPRung: String, Sendable, CaseIterable {
    /// The card writes into our memory.
    case zeroCopy = "xdp-zerocopy"
    /// The driver runs the program, the kernel copies.
    case native = "xdp-native"
    /// The stack runs the program on its own packet buffers, and the kernel copies.
    case generic = "xdp-generic"

    /// Whether the driver runs the program.
    var isInDriver: Bool { self != .generic }
}

/// Sizes of one queue's memory and rings.
public struct XDPSizes: Sendable, Equatable {
    /// Bytes of packet memory, a power of two of at least 2 MiB.
    public var memoryBytes: Int
    /// Entries of the receive ring, a power of two; nil for as many as there are frames, so that it is never full.
    public var receiveEntries: Int?
    /// Frames given to the kernel; nil for all.
    public var filledFrames: Int?
    /// Of these, so many with an address that the kernel has to refuse; for tests.
    public var invalidFrames = 0
    /// Bytes of a frame, 2048 or 4096; nil for what the interface's MTU asks for.
    public var frameBytes: Int?
    /// Whether to try for packets in several frames.
    public var takesFragments = true

    /// Sizes.
    public init(memoryBytes: Int, receiveEntries: Int? = nil, filledFrames: Int? = nil) {
        self.memoryBytes = memoryBytes
        self.receiveEntries = receiveEntries
        self.filledFrames = filledFrames
    }
}
