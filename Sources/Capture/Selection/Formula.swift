/// Something a packet may meet or not, as one bit in the kernel.
enum Condition: Hashable {
    /// The kinds of packet that have a name in a filter.
    enum Kind { case ipv4, ipv6, arp, rarp }

    /// Which end of a packet is asked about.
    enum End { case source, destination, either }

    /// Versions of IP under which a protocol is looked for.
    struct Versions: OptionSet, Hashable {
        let rawValue: UInt8
        static let ipv4 = Versions(rawValue: 1), ipv6 = Versions(rawValue: 2), both: Versions = [.ipv4, .ipv6]
    }

    /// It is of this kind.
    case kind(Kind)
    /// Its protocol is one of these.
    case protocols(Set<UInt8>, Versions)
    /// The address of this end is in one of these.
    case addresses(Set<Prefix>, End)
    /// The port of this end is in one of these.
    case ports(Set<ClosedRange<UInt16>>, End)

    /// One condition for either of two, if there is such a one.
    func joined(_ other: Condition) -> Condition? {
        switch (self, other) {
        case (.protocols(let one, let versions), .protocols(let more, let same)) where versions == same:
            .protocols(one.union(more), versions)
        case (.addresses(let one, let end), .addresses(let more, let same)) where end == same:
            .addresses(one.union(more), end)
        case (.ports(let one, let end), .ports(let more, let same)) where end == same:
            .ports(one.union(more), end)
        default: self == other ? self : nil
        }
    }
}

/// A condition that must be met, or must not.
struct Literal: Hashable {
    var condition: Condition
    var isMet: Bool
}

/// Conditions joined by and, or and not; the latter stands at the conditions only.
indirect enum Formula {
    case literal(Literal)
    case all([Formula])
    case any([Formula])

    /// A condition that must be met.
    static func condition(_ condition: Condition) -> Formula { .literal(Literal(condition: condition, isMet: true)) }

    /// Joins another one to this one. What is joined in the same way as before stays one list, however many there are.
    mutating func append(_ next: Formula, isOr: Bool) {
        switch (self, isOr) {
        case (.any(var parts), true):
            self = .any([])
            parts.append(next)
            self = .any(parts)
        case (.all(var parts), false):
            self = .all([])
            parts.append(next)
            self = .all(parts)
        default: self = isOr ? .any([self, next]) : .all([self, next])
        }
    }

    /// The opposite (De Morgan).
    var negated: Formula {
        switch self {
        case .literal(let literal): .literal(Literal(condition: literal.condition, isMet: !literal.isMet))
        case .all(let parts): .any(parts.map(\.negated))
        case .any(let parts): .all(parts.map(\.negated))
        }
    }

    /// The same with as few conditions as joining can make it: a hundred hosts joined by `or` are one set of addresses.
    var joined: Formula {
        switch self {
        case .literal: self
        // One or the other is met: their union is. Neither is met: their union is not.
        case .any(let parts): Self.join(parts.flatMap { $0.joined.alternatives }, areMet: true)
        case .all(let parts): Self.join(parts.flatMap { $0.joined.demands }, areMet: false)
        }
    }

    /// The parts of an `or`, or the whole.
    private var alternatives: [Formula] { if case .any(let parts) = self { parts } else { [self] } }

    /// The parts of an `and`, or the whole.
    private var demands: [Formula] { if case .all(let parts) = self { parts } else { [self] } }

    private static func join(_ parts: [Formula], areMet: Bool) -> Formula {
        var joined: [Condition] = []
        var others: [Formula] = []
        for part in parts {
            guard case .literal(let literal) = part, literal.isMet == areMet else {
                others.append(part)
                continue
            }
            if let (place, condition) = joined.indices.lazy.compactMap({ place in
                joined[place].joined(literal.condition).map { (place, $0) }
            }).first {
                joined[place] = condition
            } else {
                joined.append(literal.condition)
            }
        }
        let all = joined.map { Formula.literal(Literal(condition: $0, isMet: areMet)) } + others
        return areMet ? .any(all) : .all(all)
    }

    /// Clauses that must all hold, each of which holds if one of its literals does (conjunctive normal form); nil if there
    /// would be more than `limit`.
    func clauses(limit: Int) -> [Set<Literal>]? {
        switch self {
        case .literal(let literal): return [[literal]]
        case .all(let parts):
            var clauses: [Set<Literal>] = []
            for part in parts {
                guard let more = part.clauses(limit: limit) else { return nil }
                clauses += more
            }
            return Self.reduced(clauses, limit)
        case .any(let parts):
            var clauses: [Set<Literal>] = [[]]
            for part in parts {
                guard let more = part.clauses(limit: limit) else { return nil }
                guard let fewer = Self.reduced(clauses.flatMap { one in more.map { one.union($0) } }, limit) else {
                    return nil
                }
                clauses = fewer
            }
            return clauses
        }
    }

    /// Without clauses that always hold, or that hold whenever another one does.
    private static func reduced(_ clauses: [Set<Literal>], _ limit: Int) -> [Set<Literal>]? {
        let open = Set(clauses).filter { clause in
            !clause.contains { clause.contains(Literal(condition: $0.condition, isMet: !$0.isMet)) }
        }
        let needed = open.filter { clause in !open.contains { $0.isStrictSubset(of: clause) } }
        return needed.count <= limit ? Array(needed) : nil
    }
}
