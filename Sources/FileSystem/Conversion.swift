/// How the records of a capture file are changed so that they fit behind those of another one. No change moves a byte: a
/// file has as many bytes converted as it has raw.
struct Conversion: Equatable, BitwiseCopyable {
    /// Classic: numbers are turned into the other byte order.
    var swapsOrder = false
    /// Classic: microseconds become nanoseconds.
    var scalesToNanoseconds = false
    /// Classic: packets with more captured bytes do not fit behind the stream's header.
    var capturedMax = UInt32.max
    /// pcapng: the snapshot length that interfaces are given.
    var snapLength: UInt32?
    /// pcapng: the link type that interfaces are given.
    var linkType: UInt16?

    @_noLocks init() {}

    /// Whether nothing is changed.
    var isIdentity: Bool { self == Conversion() }
}

/// What the stream's first header promises, and with that how every further file must look.
struct StreamFormat {
    /// The format of the first file, with the changes that were needed for a closed range.
    private(set) var format: CaptureFormat
    /// pcapng: what libpcap makes of a second LINKTYPE_RAW; it reads the first one as this number of its own.
    private static let rawAsSeenByLibpcap: UInt16 = 12
    private static let raw: UInt32 = 101

    /// A stream that begins with this file. What is known to follow may ask for more: finer time, longer packets.
    init(first: CaptureFormat, followed by: [CaptureFormat] = []) {
        format = first
        for other in by where other.container == first.container {
            if other.isNanoseconds { format.isNanoseconds = true }
            if Self.effective(other.snapLength) > Self.effective(format.snapLength) {
                format.snapLength = other.snapLength
            }
        }
    }

    /// How a file must be changed to stand at the beginning.
    func conversionOfFirst(_ first: CaptureFormat) -> Conversion {
        var conversion = Conversion()
        guard first.container == .classic else {
            if !first.isUniform || first.snapLength != format.snapLength { conversion.snapLength = format.snapLength }
            return first.snapLength == format.snapLength ? Conversion() : conversion
        }
        conversion.scalesToNanoseconds = format.isNanoseconds && !first.isNanoseconds
        return conversion
    }

    /// How a file must be changed to stand behind, or why it cannot.
    func conversion(of next: CaptureFormat) -> Result<Conversion, Mismatch> {
        guard next.container == format.container else {
            return .failure(Mismatch(reason: "pcap and pcapng files cannot be read as one"))
        }
        return format.container == .classic ? classic(next) : pcapng(next)
    }

    private func classic(_ next: CaptureFormat) -> Result<Conversion, Mismatch> {
        guard next.linkType == format.linkType else {
            return .failure(
                Mismatch(reason: "its link type is \(next.linkType), that of the files before \(format.linkType)"))
        }
        guard next.recordHeader == format.recordHeader else {
            return .failure(
                Mismatch(reason: "its records have longer headers than those of the files before, or shorter ones"))
        }
        guard format.isNanoseconds || !next.isNanoseconds else {
            return .failure(Mismatch(reason: "its times are nanoseconds, and the stream was begun with microseconds"))
        }
        var conversion = Conversion()
        conversion.swapsOrder = next.isSwapped != format.isSwapped
        conversion.scalesToNanoseconds = format.isNanoseconds && !next.isNanoseconds
        if Self.effective(next.snapLength) > Self.effective(format.snapLength) {
            conversion.capturedMax = format.snapLength
        }
        return .success(conversion)
    }

    private func pcapng(_ next: CaptureFormat) -> Result<Conversion, Mismatch> {
        guard next.isSwapped == format.isSwapped else {
            return .failure(Mismatch(reason: "its byte order differs from that of the files before"))
        }
        var conversion = Conversion()
        // Files without an interface at their beginning have no packet either until one comes.
        if next.linkType != .max && format.linkType != .max {
            guard next.linkType == format.linkType else {
                let reason = "its link type is \(next.linkType), that of the files before \(format.linkType)"
                return .failure(Mismatch(reason: reason))
            }
            if next.linkType == Self.raw { conversion.linkType = Self.rawAsSeenByLibpcap }
        }
        if next.snapLength != format.snapLength || !next.isUniform {
            conversion.snapLength = format.snapLength
            if Self.effective(next.snapLength) > Self.effective(format.snapLength) || !next.isUniform {
                conversion.capturedMax = Self.effective(format.snapLength)
            }
        }
        return .success(conversion)
    }

    /// A length of 0 means no limit but libpcap's own.
    private static func effective(_ snapLength: UInt32) -> UInt32 { snapLength == 0 ? 262_144 : snapLength }
}

/// Why a file cannot stand behind another one.
struct Mismatch: Error {
    let reason: String
}
