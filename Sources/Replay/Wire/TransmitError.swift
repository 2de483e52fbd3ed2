public import Machine

/// Why packets cannot be put on a wire.
public enum TransmitError: Error, Sendable, Equatable, CustomStringConvertible {
    /// There is no interface of this name.
    case noSuchInterface(String)
    /// The interface is configured down.
    case isDown(String)
    /// Its packets do not begin with an Ethernet header.
    case notEthernet(String)
    /// The process may not send.
    case notPermitted(String)
    /// The kernel or the driver refuses this way of sending.
    case refused(String, TransmitMode, SystemError)
    /// The interface went while it was sent through.
    case gone(String, SystemError)

    /// One line that names the interface and what would help.
    public var description: String {
        switch self {
        case .noSuchInterface(let name): "\(name): there is no such interface"
        case .isDown(let name): "\(name): the interface is down; set it up with: ip link set \(name) up"
        case .notEthernet(let name): "\(name): this is no Ethernet interface, and others are not supported"
        case .notPermitted(let name): "\(name): sending needs the capability CAP_NET_RAW"
        case .refused(let name, let mode, let reason):
            "\(name): \(mode.rawValue) is not available: \(reason); --transmit auto takes the best there is"
        case .gone(let name, let reason): "\(name): \(reason)"
        }
    }
}

/// How packets get onto a wire, best first.
public enum TransmitMode: String, Sendable, CaseIterable {
    /// AF_XDP, the card reads from our memory.
    case zeroCopy = "xdp-zerocopy"
    /// AF_XDP, the kernel copies.
    case copy = "xdp-copy"
    /// A packet socket.
    case packetSocket = "af-packet"
}
