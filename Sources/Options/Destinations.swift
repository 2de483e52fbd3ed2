/// What a destination's stream looks like.
public enum Wire: String, Sendable, CaseIterable {
    case pcapng, pcap
    case pcapNanoseconds = "pcap-ns"
}

/// The order in which a destination gets batches.
public enum Order: String, Sendable, CaseIterable {
    case newestFirst = "newest-first"
    case oldestFirst = "oldest-first"
}

/// Whether a destination is to acknowledge what it gets.
public enum Acknowledgement: String, Sendable, CaseIterable {
    case auto, required, none
}

/// What a destination that is added to a run is owed.
public enum Backlog: String, Sendable, CaseIterable {
    case now, all
}

/// One `--to`: `HOST:PORT[,name=N][,wire=W][,order=O][,ack=A][,share=S][,backlog=B]`, or `null[,name=N]`.
public struct Destination: Sendable, Equatable {
    /// Where to connect; nil counts and discards.
    public let address: Address?
    /// The name it goes by; the address as written, or `null`, unless given.
    public let name: String
    /// What the stream looks like.
    public let wire: Wire
    /// The order of batches; nil for what is usual with `wire`.
    public let order: Order?
    /// Whether it is to acknowledge; nil for what is usual with `wire`.
    public let ack: Acknowledgement?
    /// How many parts of the whole it gets, where destinations share; nil if not given.
    public let share: Int?
    /// What it is owed when it is added to a run; nil if not given.
    public let backlog: Backlog?

    /// Parses one destination; the error is a sentence about what is wrong with it.
    init(parsing text: String) throws(SpecificationError) {
        let specification = try Specification(text)
        if specification.target == "null" {
            let name = try specification.values(of: ["name"])["name"]
            (address, wire, order, ack, share, backlog) = (nil, .pcapng, nil, nil, nil, nil)
            self.name = try Self.checked(name) ?? "null"
            return
        }
        guard let address = Address.connecting(specification.target) else {
            throw SpecificationError(
                "'\(specification.target)' is no address; write HOST:PORT, such as 192.0.2.7:57012 or "
                    + "[2001:db8::7]:57012, or null")
        }
        let values = try specification.values(of: ["name", "wire", "order", "ack", "share", "backlog"])
        self.address = address
        name = try Self.checked(values["name"]) ?? address.description
        wire = try choice("wire", values) ?? .pcapng
        order = try choice("order", values)
        ack = try choice("ack", values)
        backlog = try choice("backlog", values)
        share = try values["share"].map { text throws(SpecificationError) in
            guard let parts = Values.count(text), (1...16).contains(parts) else {
                throw SpecificationError("share=\(text) is no share; write a whole number from 1 to 16")
            }
            return Int(parts)
        }
        if wire != .pcapng, let ack, ack != .none {
            throw SpecificationError(
                "wire=\(wire.rawValue) and ack=\(ack.rawValue): readers of classic pcap cannot acknowledge; leave ack out"
            )
        }
    }

    private static func checked(_ name: String?) throws(SpecificationError) -> String? {
        guard let name, !Values.isName(name) else { return name }
        throw SpecificationError(
            "'\(name)' is no name; names are 1 to 64 of A-Z a-z 0-9 . _ - and do not begin with a dot")
    }
}

/// One `--listen`: `ADDR:PORT[,wire=W][,order=O]`.
public struct Listener: Sendable, Equatable {
    /// The port of PCAP-over-IP, for listeners that name none.
    public static let defaultPort: UInt16 = 57012

    /// Where readers connect.
    public let address: Address
    /// What the stream looks like.
    public let wire: Wire
    /// The order of batches; nil for what is usual with `wire`.
    public let order: Order?

    /// Parses one listener; the error is a sentence about what is wrong with it.
    init(parsing text: String) throws(SpecificationError) {
        let specification = try Specification(text)
        guard let address = Address.listening(specification.target, defaultPort: Self.defaultPort) else {
            throw SpecificationError(
                "'\(specification.target)' is no address to listen on; write ADDR:PORT, such as 127.0.0.1:57012 "
                    + "or [::1]:57012")
        }
        let values = try specification.values(of: ["wire", "order"])
        self.address = address
        wire = try choice("wire", values) ?? .pcapng
        order = try choice("order", values)
    }
}

private func choice<Choice: RawRepresentable<String> & CaseIterable>(
    _ key: String, _ values: [String: String]
) throws(SpecificationError) -> Choice? {
    guard let text = values[key] else { return nil }
    if let choice = Choice(rawValue: text) { return choice }
    let allowed = Choice.allCases.map(\.rawValue).joined(separator: ", ")
    throw SpecificationError("\(key)=\(text) is not known; use one of \(allowed)")
}
