/// Reads the part of libpcap's filter language (pcap-filter(7)) that `--tap selective` can test in the kernel. libpcap has
/// found the whole expression to be correct before.
///
/// As in libpcap `and` and `or` bind equally, from left to right, and a bare name takes its qualifiers from the one before.
struct SelectionParser {
    /// Identifiers of the VLAN tags that come first; nil for any.
    private(set) var tags: [UInt16?] = []

    private var words: [String]
    private var place = 0
    /// What a bare name inherits.
    private var inherited: Qualifiers?

    /// What stands before a name.
    private struct Qualifiers {
        var kind: String?
        var ends: Ends?
        var type: String?
    }

    private enum Ends { case source, destination, either, both }

    /// What is not understood, and why it cannot be.
    struct Problem: Error {
        let word: String
        let reason: String
    }

    init(_ expression: String) {
        words = Self.words(of: expression)
    }

    /// The formula of the whole expression; nil if only VLAN tags are asked about.
    mutating func parse() throws(Problem) -> Formula? {
        while take("vlan") {
            guard tags.count < 2 else { throw Problem(word: "vlan", reason: "at most two tags can be asked about") }
            tags.append(try tag())
            if place == words.count { return nil }
            guard take("and") else { throw misplacedTag }
        }
        let (formula, hasOr) = try expression()
        if place < words.count { throw Problem(word: words[place], reason: "it is not expected here") }
        if !tags.isEmpty, hasOr { throw misplacedTag }
        return formula
    }

    private var misplacedTag: Problem {
        Problem(
            word: "vlan",
            reason: "it changes what everything after it means, so it must stand first and be joined by 'and',"
                + " such as: vlan 100 and (tcp or udp)")
    }

    private mutating func tag() throws(Problem) -> UInt16? {
        guard place < words.count, let first = words[place].first, first.isNumber else { return nil }
        guard let number = UInt16(words[place]) else {
            throw Problem(word: words[place], reason: "it is no VLAN identifier")
        }
        place += 1
        return number
    }

    // MARK: Joining

    /// Terms from left to right, up to the end or a closing parenthesis; whether any two are joined by `or`.
    private mutating func expression() throws(Problem) -> (Formula, hasOr: Bool) {
        var formula = try term()
        var hasOr = false
        while place < words.count, words[place] == "and" || words[place] == "or" {
            let isOr = words[place] == "or"
            place += 1
            let next = try term()
            formula.append(next, isOr: isOr)
            hasOr = hasOr || isOr
        }
        return (formula, hasOr)
    }

    private mutating func term() throws(Problem) -> Formula {
        if take("not") { return try term().negated }
        if take("(") {
            let (formula, _) = try expression()
            guard take(")") else { throw Problem(word: "(", reason: "it is not closed") }
            // libpcap has rules of its own for what a bare name inherits from a group.
            inherited = nil
            return formula
        }
        return try primitive()
    }

    // MARK: Primitives

    private static let kinds = ["ip", "ip6", "arp", "rarp", "tcp", "udp", "sctp", "icmp", "icmp6", "igmp"]
    private static let types = ["host", "net", "port", "portrange", "proto"]

    private mutating func primitive() throws(Problem) -> Formula {
        guard place < words.count else { throw Problem(word: "", reason: "it ends too early") }
        if words[place] == "vlan" { throw misplacedTag }
        var qualifiers = Qualifiers()
        let first = words[place]
        if Self.kinds.contains(first) { qualifiers.kind = next() }
        qualifiers.ends = ends()
        if place < words.count, Self.types.contains(words[place]) { qualifiers.type = next() }
        if let kind = qualifiers.kind, qualifiers.ends == nil, qualifiers.type == nil {
            inherited = nil
            return Self.formula(kind)
        }
        if qualifiers.kind == nil, qualifiers.ends == nil, qualifiers.type == nil {
            // A bare name: an address, or more of the same as before.
            if let inherited { qualifiers = inherited }
            guard inherited != nil || Prefix(parsing: first, isNet: false) != nil else { throw unknown(first) }
        }
        inherited = qualifiers
        return try names(qualifiers)
    }

    private func unknown(_ word: String) -> Problem {
        Problem(word: word, reason: "the kernel is given addresses, ports, protocols and VLAN tags only")
    }

    private mutating func ends() -> Ends? {
        guard place < words.count, ["src", "dst"].contains(words[place]) else { return nil }
        let one = next()
        let other = one == "src" ? "dst" : "src"
        if place + 1 < words.count, words[place + 1] == other, ["and", "or"].contains(words[place]) {
            let isOr = next() == "or"
            place += 1
            return isOr ? .either : .both
        }
        return one == "src" ? .source : .destination
    }

    /// One name, or several in parentheses: `port (80 or 443)`.
    private mutating func names(_ qualifiers: Qualifiers) throws(Problem) -> Formula {
        guard take("(") else { return try name(qualifiers) }
        var formula = try name(qualifiers)
        while place < words.count, ["and", "or"].contains(words[place]) {
            let isOr = next() == "or"
            let more = try name(qualifiers)
            formula.append(more, isOr: isOr)
        }
        guard take(")") else { throw Problem(word: "(", reason: "only names may stand in it here") }
        inherited = nil
        return formula
    }

    private mutating func name(_ qualifiers: Qualifiers) throws(Problem) -> Formula {
        if take("not") { return try name(qualifiers).negated }
        guard place < words.count else { throw Problem(word: qualifiers.type ?? "", reason: "a name is missing") }
        let word = next()
        switch qualifiers.type ?? "host" {
        case "port", "portrange": return try port(word, qualifiers)
        case "proto": return try protocolNumber(word, qualifiers)
        case let type: return try address(word, isNet: type == "net", qualifiers)
        }
    }

    private mutating func address(_ word: String, isNet: Bool, _ qualifiers: Qualifiers) throws(Problem) -> Formula {
        let prefix =
            isNet && take("mask")
            ? place < words.count ? Prefix(net: word, mask: next()) : nil : Prefix(parsing: word, isNet: isNet)
        guard let prefix else {
            throw Problem(word: word, reason: "only numeric addresses can be used, because names are not looked up")
        }
        return Self.joined(qualifiers) { .addresses([prefix], $0) }
    }

    private func port(_ word: String, _ qualifiers: Qualifiers) throws(Problem) -> Formula {
        let bounds = word.split(separator: "-", omittingEmptySubsequences: false).map { UInt16($0) }
        guard let one = bounds.first ?? nil, let other = bounds.last ?? nil, bounds.count <= 2 else {
            throw Problem(word: word, reason: "only numbers of ports can be used, because names are not looked up")
        }
        return Self.joined(qualifiers) { .ports([min(one, other)...max(one, other)], $0) }
    }

    private func protocolNumber(_ word: String, _ qualifiers: Qualifiers) throws(Problem) -> Formula {
        let versions: [String: Condition.Versions] = ["ip": .ipv4, "ip6": .ipv6]
        guard let number = UInt8(word), let over = qualifiers.kind.map({ versions[$0] }) ?? .both else {
            throw Problem(word: word, reason: "only protocols of IP by their numbers can be used")
        }
        return .condition(.protocols([number], over))
    }

    /// A condition about ends, together with what stands before it.
    private static func joined(_ qualifiers: Qualifiers, _ condition: (Condition.End) -> Condition) -> Formula {
        let about: Formula =
            switch qualifiers.ends {
            case .source: .condition(condition(.source))
            case .destination: .condition(condition(.destination))
            case .either, nil: .condition(condition(.either))
            case .both: .all([.condition(condition(.source)), .condition(condition(.destination))])
            }
        return qualifiers.kind.map { .all([formula($0), about]) } ?? about
    }

    private static func formula(_ kind: String) -> Formula {
        switch kind {
        case "ip": .condition(.kind(.ipv4))
        case "ip6": .condition(.kind(.ipv6))
        case "arp": .condition(.kind(.arp))
        case "rarp": .condition(.kind(.rarp))
        case "tcp": .condition(.protocols([6], .both))
        case "udp": .condition(.protocols([17], .both))
        case "sctp": .condition(.protocols([132], .both))
        case "igmp": .condition(.protocols([2], .ipv4))
        case "icmp6": .condition(.protocols([58], .ipv6))
        default: .condition(.protocols([1], .ipv4))
        }
    }

    // MARK: Words

    private mutating func take(_ word: String) -> Bool {
        guard place < words.count, words[place] == word else { return false }
        place += 1
        return true
    }

    private mutating func next() -> String {
        place += 1
        return words[place - 1]
    }

    /// Words, with parentheses and signs apart from what they touch, and signs spelled out.
    private static func words(of expression: String) -> [String] {
        var text = expression
        for (sign, word) in [("(", " ( "), (")", " ) "), ("&&", " and "), ("||", " or ")] {
            text = text.split(separator: sign, omittingEmptySubsequences: false).joined(separator: word)
        }
        // An exclamation mark alone is `not`; in != it belongs to arithmetic, which is not understood anyway.
        text = String(text.flatMap { $0 == "!" ? Array(" not ") : [$0] })
        return text.split(whereSeparator: \.isWhitespace).map(String.init)
    }
}
