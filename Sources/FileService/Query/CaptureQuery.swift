internal import Capture
internal import Machine
internal import Pcapng

/// A question to a directory of captures: what was on the wire from then to then, and matches this?
///
/// The answer is one pcapng. Packets of foreign capture files are encoded anew, all in one section. Of files that are made of
/// batches (docs/format.md) the batches that lie wholly inside the times are sent as they are, without a copy, unless there
/// is a filter. Files come in the order of their first packets; inside a file the order stays.
struct CaptureQuery: Sendable {
    /// The question as it was asked.
    struct Request {
        var from: String?, to: String?, filter: String?

        /// Nil unless something of a query stands in the target.
        init?(_ target: RequestTarget) {
            from = target.value("from")
            to = target.value("to")
            filter = target.value("filter")
            if from == nil, to == nil, filter == nil { return nil }
        }
    }

    /// Why a question cannot be understood.
    struct Fault: Error {
        var reason: String
    }

    /// Packet times, nanoseconds since 1970, both included.
    let from: UInt64, to: UInt64
    /// libpcap's language; nil lets everything through.
    let filter: String?

    private static let filterLimit = 2048

    /// Understands a question.
    init(_ request: Request, now: UInt64) throws(Fault) {
        func time(_ name: String, _ text: String?, _ otherwise: UInt64) throws(Fault) -> UInt64 {
            guard let text else { return otherwise }
            guard let time = QueryTime.nanoseconds(text, now: now) else {
                throw Fault(
                    reason:
                        "\(name): write seconds since 1970, a time such as 2026-11-21T10:00:00Z, or -5m for five minutes ago"
                )
            }
            return time
        }
        from = try time("from", request.from, 0)
        to = try time("to", request.to, .max)
        filter = request.filter.flatMap { $0.isEmpty ? nil : $0 }
        guard from <= to else { throw Fault(reason: "from: later than to") }
        guard let filter else { return }
        // libpcap's time grows with the square of it.
        guard filter.utf8.count <= Self.filterLimit else {
            throw Fault(reason: "filter: longer than \(Self.filterLimit) bytes")
        }
        // Whether it is sound is best known before the answer begins; other link types may know other words.
        do throws(PacketFilterError) {
            _ = try PacketFilter(filter, linkType: .ethernet)
        } catch {
            throw Fault(reason: "filter: \(error.reason)")
        }
    }

    /// Writes the answer.
    func run(_ directory: OpenFile, _ writer: LentWriter) {
        guard let index = try? DirectoryIndex(directory) else { return writer.fail(.internalError) }
        let extra = "Content-Disposition: attachment; filename=\"query.pcapng\"\r\nCache-Control: no-store\r\n"
        var files: [QueryFile] = []
        for entry in index.entries where !entry.isDirectory {
            guard let opened = try? OpenFile(entry.name, below: directory.descriptor), !opened.isDirectory,
                let file = QueryFile(opened, name: entry.name, times: from...to)
            else { continue }
            files.append(file)
        }
        files.sort { $0.firstTime < $1.firstTime }
        guard writer.beginStream(type: "application/vnd.tcpdump.pcap", extra: extra) else { return }
        var answer = QueryAnswer(self, writer)
        for file in files where !writer.isOver {
            // A file that was removed meanwhile has made room for newer ones.
            guard let opened = try? OpenFile(file.name, below: directory.descriptor) else { continue }
            answer.add(opened)
        }
        answer.end()
    }

    /// Whether a packet time is asked for.
    func contains(_ time: UInt64) -> Bool { from <= time && time <= to }
}

/// Times as people write them.
enum QueryTime {
    private static let units: [(String, Double)] = [
        ("us", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 60e9), ("h", 3600e9), ("d", 86_400e9),
    ]

    /// Nanoseconds since 1970; nil if it is no time.
    static func nanoseconds(_ text: String, now: UInt64) -> UInt64? {
        if text == "now" { return now }
        if text.hasPrefix("-") { return ago(text.dropFirst(), now: now) }
        if text.utf8.allSatisfy({ (0x30...0x39).contains($0) || $0 == UInt8(ascii: ".") }) { return decimal(text[...]) }
        return internet(text)
    }

    private static func ago(_ text: Substring, now: UInt64) -> UInt64? {
        let number = text.prefix { $0.isNumber || $0 == "." }
        guard let unit = units.first(where: { $0.0 == text.dropFirst(number.count) }), let count = Double(number),
            count * unit.1 < Double(now)
        else { return nil }
        return now - UInt64(count * unit.1)
    }

    /// Seconds with up to nine digits behind the point, exactly.
    private static func decimal(_ text: Substring) -> UInt64? {
        let parts = text.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        guard let seconds = UInt64(parts[0]), seconds < 18_000_000_000 else { return nil }
        guard parts.count == 2 else { return seconds * 1_000_000_000 }
        guard parts[1].utf8.count <= 9,
            let fraction = UInt64(parts[1] + String(repeating: "0", count: 9 - parts[1].count))
        else { return nil }
        return seconds * 1_000_000_000 + fraction
    }

    /// RFC 3339 in UTC: `2026-11-21T10:00:00Z`, with a fraction if wanted.
    private static func internet(_ text: String) -> UInt64? {
        guard text.hasSuffix("Z") else { return nil }
        let halves = text.dropLast().split(separator: "T", omittingEmptySubsequences: false)
        guard halves.count == 2 else { return nil }
        let date = halves[0].split(separator: "-", omittingEmptySubsequences: false).map { Int($0) }
        let clock = halves[1].split(separator: ":", omittingEmptySubsequences: false)
        guard date.count == 3, let year = date[0], let month = date[1], let day = date[2], clock.count == 3,
            (1970...2500).contains(year), (1...12).contains(month), (1...31).contains(day),
            let hour = Int(clock[0]), let minute = Int(clock[1]), (0..<24).contains(hour), (0..<60).contains(minute),
            let seconds = decimal(clock[2]), seconds < 61_000_000_000
        else { return nil }
        let days = HTTPDate.days(year: year, month: month, date: day)
        return UInt64(days * 86_400 + hour * 3600 + minute * 60) * 1_000_000_000 + seconds
    }
}
