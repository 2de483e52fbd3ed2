/// Every option of `spillway generate` that has a value.
public enum GenerateOption: String, CommandOption {
    case interface
    case rate, count, duration
    case `protocol`, ip, segments, size, flows, vlan
    case fragments
    case fragmentSize = "fragment-size"
    case destinationMAC = "destination-mac"
    case report

    /// As people know it on the command line.
    public var spelling: String {
        switch self {
        case .interface: "-i"
        case .count: "-c"
        default: "--\(rawValue)"
        }
    }
}
