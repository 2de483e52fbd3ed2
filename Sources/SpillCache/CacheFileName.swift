public import Pcapng

/// The name of a cache file: `START-RUN-N.pcapng`, with `.open` behind it until it is sealed (docs/format.md).
public struct CacheFileName: Hashable, Sendable, CustomStringConvertible {
    /// Least packet time the file is meant for, whole seconds in nanoseconds since 1970 UTC.
    public let start: UInt64
    /// The run that writes the file.
    public let run: RunIdentity
    /// Which file of the run it is.
    public let number: UInt64

    /// A name from its parts; `start` is cut to the second.
    public init(start: UInt64, run: RunIdentity, number: UInt64) {
        self.start = start - start % 1_000_000_000
        self.run = run
        self.number = number
    }

    /// From the name of a sealed or open file; nil for anything else.
    public init?(parsing name: String) {
        let parts = name.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 3, let start = CalendarTime.nanoseconds(parts[0]), let run = RunIdentity(parsing: parts[1])
        else { return nil }
        var rest = parts[2]
        if rest.hasSuffix(".open") { rest = rest.dropLast(5) }
        guard rest.hasSuffix(".pcapng"), let number = UInt64(rest.dropLast(7)) else { return nil }
        self.init(start: start, run: run, number: number)
        // One file has one name: no signs, no zeros in front, no capitals.
        guard name == sealed || name == open else { return nil }
    }

    /// The name of the sealed file.
    public var sealed: String { "\(CalendarTime.text(start))-\(run)-\(number).pcapng" }
    /// The name while it is written.
    public var open: String { sealed + ".open" }
    /// The name of the sealed file.
    public var description: String { sealed }
}

extension RunIdentity {
    /// From the 32 digits of `description`; nil for anything else.
    public init?(parsing text: some StringProtocol) {
        let digits = Array(text.utf8)
        guard digits.count == 32 else { return nil }
        var words: [UInt64] = [0, 0]
        for (place, digit) in digits.enumerated() {
            let value: UInt8
            switch digit {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): value = digit - UInt8(ascii: "0")
            case UInt8(ascii: "a")...UInt8(ascii: "f"): value = digit - UInt8(ascii: "a") + 10
            default: return nil
            }
            // The text goes by bytes, low ones first, and by digits within a byte, high one first.
            let shift = UInt64(place % 16 / 2 * 8 + (place % 2 == 0 ? 4 : 0))
            words[place / 16] |= UInt64(value) << shift
        }
        self.init(low: words[0], high: words[1])
    }
}
