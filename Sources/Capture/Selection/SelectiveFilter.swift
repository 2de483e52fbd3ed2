internal import CXDP
internal import Pcapng

/// A filter that the XDP program tests: what it matches is captured, everything else is left to the stack.
///
/// The language is a part of libpcap's, with the same meaning: `ip`, `ip6`, `arp`, `rarp`, `tcp`, `udp`, `sctp`, `icmp`,
/// `icmp6`, `igmp`, `proto N`, and `host`, `net`, `port`, `portrange` with `src` and `dst`, joined by `and`, `or`, `not` and
/// parentheses; `vlan [N]` in front of all else. It becomes at most 32 conditions (all addresses that are joined by `or` are
/// one) in at most 16 clauses.
public struct SelectiveFilter: Sendable {
    /// Why an expression cannot be tested in the kernel.
    public struct Refusal: Error, Sendable, Equatable, CustomStringConvertible {
        /// The expression.
        public let expression: String
        /// What is in the way.
        public let reason: String

        /// Both, in one line.
        public var description: String {
            "\"\(expression)\" cannot be tested in the kernel: \(reason); use --tap consume, which filters afterwards"
        }
    }

    /// The expression.
    public let expression: String
    /// What the program holds as constants.
    let constants: spillway_filter
    /// Entries of the maps.
    let prefixes: [Prefix: spillway_ends]
    let ports: [UInt16: spillway_ends]
    let protocols: [UInt8: spillway_versions]

    /// Compiles an expression that libpcap has accepted for Ethernet.
    ///
    /// - Throws: what cannot be tested in the kernel.
    public init(_ expression: String) throws(Refusal) {
        var parser = SelectionParser(expression)
        let formula: Formula?
        do throws(SelectionParser.Problem) {
            formula = try parser.parse()
        } catch {
            throw Refusal(expression: expression, reason: "'\(error.word)': \(error.reason)")
        }
        let limit = Int(SPILLWAY_CLAUSES_MAX)
        guard let clauses = formula.map({ $0.joined.clauses(limit: limit) }) ?? [] else {
            throw Refusal(expression: expression, reason: "its alternatives are more than \(limit) clauses")
        }
        let literals = Set(clauses.flatMap { $0 })
        let conditions = Array(Set(literals.map(\.condition)))
        guard conditions.count <= 32 else {
            throw Refusal(expression: expression, reason: "it has more than 32 conditions")
        }
        var builder = SelectionBuilder(tags: parser.tags)
        for (bit, condition) in conditions.enumerated() { builder.add(condition, bit: 1 << UInt32(bit)) }
        for clause in clauses {
            func bits(_ isMet: Bool) -> UInt32 {
                let places = clause.filter { $0.isMet == isMet }.map { conditions.firstIndex(of: $0.condition)! }
                return places.reduce(0) { $0 | 1 << UInt32($1) }
            }
            builder.add(spillway_clause(met: bits(true), unmet: bits(false)))
        }
        self.expression = expression
        constants = builder.constants
        prefixes = builder.spread()
        (ports, protocols) = (builder.ports, builder.protocols)
    }
}

/// Collects what the conditions of a filter put into the maps and constants.
private struct SelectionBuilder {
    var constants = spillway_filter()
    var prefixes: [Prefix: spillway_ends] = [:]
    var ports: [UInt16: spillway_ends] = [:]
    var protocols: [UInt8: spillway_versions] = [:]

    init(tags: [UInt16?]) {
        constants.selects = 1
        constants.tags = UInt32(tags.count)
        if tags.count > 0 { constants.tag.0 = tags[0] ?? UInt16(SPILLWAY_TAG_ANY) }
        if tags.count > 1 { constants.tag.1 = tags[1] ?? UInt16(SPILLWAY_TAG_ANY) }
    }

    mutating func add(_ condition: Condition, bit: UInt32) {
        switch condition {
        case .kind(.ipv4): constants.of_ipv4 |= bit
        case .kind(.ipv6): constants.of_ipv6 |= bit
        case .kind(.arp): constants.of_arp |= bit
        case .kind(.rarp): constants.of_rarp |= bit
        case .protocols(let numbers, let versions):
            constants.asks |= UInt32(SPILLWAY_ASKS_PROTOCOLS)
            for number in numbers {
                if versions.contains(.ipv4) { protocols[number, default: .init()].over_ipv4 |= bit }
                if versions.contains(.ipv6) { protocols[number, default: .init()].over_ipv6 |= bit }
            }
        case .addresses(let some, let end):
            constants.asks |= UInt32(SPILLWAY_ASKS_ADDRESSES)
            for prefix in some { prefixes[prefix, default: .init()].add(bit, end) }
        case .ports(let ranges, let end):
            constants.asks |= UInt32(SPILLWAY_ASKS_PORTS)
            for port in ranges.joined() { ports[port, default: .init()].add(bit, end) }
        }
    }

    mutating func add(_ clause: spillway_clause) {
        let place = Int(constants.clauses)
        constants.clauses += 1
        unsafe withUnsafeMutableBytes(of: &constants.clause) { clauses in
            unsafe clauses.storeBytes(
                of: clause, toByteOffset: place * MemoryLayout<spillway_clause>.stride, as: spillway_clause.self)
        }
    }

    /// The kernel finds only the longest prefix of an address, so each has the bits of those it lies in, too.
    func spread() -> [Prefix: spillway_ends] {
        var result = prefixes
        let lengths = Set(prefixes.keys.map(\.length))
        for prefix in prefixes.keys {
            for length in lengths where length < prefix.length {
                if let ends = prefixes[prefix.widened(to: length)] { result[prefix]!.add(ends) }
            }
        }
        return result
    }
}

extension spillway_ends {
    fileprivate mutating func add(_ bit: UInt32, _ end: Condition.End) {
        if end != .destination { as_source |= bit }
        if end != .source { as_destination |= bit }
    }

    fileprivate mutating func add(_ other: spillway_ends) {
        as_source |= other.as_source
        as_destination |= other.as_destination
    }
}
