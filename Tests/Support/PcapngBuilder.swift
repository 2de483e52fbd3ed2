/// Writes pcapng files of every kind, independently of the code under test (draft-ietf-opsawg-pcapng).
public struct PcapngBuilder: Sendable {
    /// An option: its code and its value without padding.
    public struct Option: Sendable {
        let code: UInt16
        let value: @Sendable (ByteOrder) -> [UInt8]

        /// An option of plain bytes.
        public static func bytes(_ code: UInt16, _ value: [UInt8]) -> Option {
            Option(code: code) { _ in value }
        }
        /// An option of text.
        public static func text(_ code: UInt16, _ value: String) -> Option { bytes(code, Array(value.utf8)) }
        /// An option of one number in the byte order of the section.
        public static func number(_ code: UInt16, _ value: some FixedWidthInteger & Sendable) -> Option {
            Option(code: code) { order in
                var writer = ByteWriter(order)
                writer.number(value)
                return writer.bytes
            }
        }
    }

    private struct Interface {
        let index: UInt32
        let resolution: UInt8
        let offset: Int64
        let snapLength: UInt32
    }

    private var writer: ByteWriter
    private var packets: [SamplePacket] = []
    private var ends: [Int] = []
    private var boundaries = [0]
    private var interfaces: [Interface] = []
    private var interfacesPerSection: [Int] = []
    private var sectionLengthOffset: Int?
    private var endsOptions: Bool

    /// An empty file, which still needs a section.
    ///
    /// - Parameter endsOptions: false leaves out the end-of-options option everywhere.
    public init(endsOptions: Bool = true) {
        writer = ByteWriter(.little)
        self.endsOptions = endsOptions
    }

    /// Begins a section.
    ///
    /// - Parameter statesLength: true writes the section's length into its header, false writes -1.
    public mutating func section(
        _ order: ByteOrder, statesLength: Bool = false, minor: UInt16 = 0, _ options: [Option] = []
    ) {
        endSection()
        writer.order = order
        interfaces = []
        interfacesPerSection.append(0)
        let start = writer.bytes.count
        block(0x0a0d_0d0a, options: options) { body in
            body.number(UInt32(0x1a2b_3c4d))
            body.number(UInt16(1))
            body.number(minor)
            body.number(Int64(-1))
        }
        if statesLength { sectionLengthOffset = start + 16 }
    }

    /// Describes an interface. A nil resolution or offset leaves out the option.
    public mutating func interface(
        linkType: UInt16 = 1, snapLength: UInt32 = 262_144, resolution: UInt8? = nil, offset: Int64? = nil,
        _ options: [Option] = []
    ) {
        var all = options
        if let resolution { all.append(.number(9, resolution)) }
        if let offset { all.append(.number(14, offset)) }
        block(1, options: all) { body in
            body.number(linkType)
            body.number(UInt16(0))
            body.number(snapLength)
        }
        let index = UInt32(interfacesPerSection.reduce(0, +))
        interfaces.append(
            Interface(
                index: index, resolution: resolution ?? 6, offset: offset ?? 0, snapLength: snapLength))
        interfacesPerSection[interfacesPerSection.count - 1] += 1
    }

    /// Adds an enhanced packet block. `units` counts the interface's own units of time.
    ///
    /// - Parameter cutTo: how many bytes a reader with a limit delivers; nil means all.
    public mutating func enhanced(
        _ number: Int, units: UInt64, _ bytes: [UInt8], original: UInt32? = nil, cutTo limit: Int? = nil,
        _ options: [Option] = []
    ) {
        block(6, options: options) { body in
            body.number(UInt32(number))
            Self.timedPacket(&body, units, bytes, original)
        }
        add(number, time: expectedTime(units, number), bytes, original: original, cutTo: limit)
    }

    /// Adds an obsolete packet block.
    public mutating func obsolete(_ number: Int, units: UInt64, _ bytes: [UInt8], original: UInt32? = nil) {
        block(2, options: [.number(2, UInt32(1))]) { body in
            body.number(UInt16(number))
            body.number(UInt16(7))  // drops
            Self.timedPacket(&body, units, bytes, original)
        }
        add(number, time: expectedTime(units, number), bytes, original: original)
    }

    /// Adds a simple packet block, of which the file holds as much as the first interface's snap length allows.
    public mutating func simple(_ bytes: [UInt8], cutTo limit: Int? = nil) {
        let snapLength = Int(interfaces[0].snapLength)
        let stored = Array(snapLength == 0 ? bytes[...] : bytes.prefix(snapLength))
        block(3, options: nil) { body in
            body.number(UInt32(bytes.count))
            body.padded(stored)
        }
        add(0, time: 0, stored, original: UInt32(bytes.count), cutTo: limit)
    }

    /// Adds a block without a packet.
    public mutating func other(_ type: UInt32, _ body: [UInt8], options: [Option]? = nil) {
        block(type, options: options) { $0.padded(body) }
    }

    /// The file so far.
    public mutating func built(_ name: String, tsharkDiffers: String? = nil) -> BuiltCapture {
        endSection()
        return BuiltCapture(
            name: name, bytes: writer.bytes, packets: packets, packetEnds: ends, boundaries: boundaries,
            interfacesPerSection: interfacesPerSection, tsharkDiffers: tsharkDiffers)
    }

    private mutating func endSection() {
        guard let offset = sectionLengthOffset else { return }
        let headerEnd = boundaries.first { $0 > offset } ?? 0
        writer.replace(at: offset, with: Int64(writer.bytes.count - headerEnd))
        sectionLengthOffset = nil
    }

    private static func timedPacket(
        _ body: inout ByteWriter, _ units: UInt64, _ bytes: [UInt8], _ original: UInt32?
    ) {
        body.number(UInt32(units >> 32))
        body.number(UInt32(truncatingIfNeeded: units))
        body.number(UInt32(bytes.count))
        body.number(original ?? UInt32(bytes.count))
        body.padded(bytes)
    }

    private mutating func block(_ type: UInt32, options: [Option]?, _ fill: (inout ByteWriter) -> Void) {
        var body = ByteWriter(writer.order)
        fill(&body)
        for option in options ?? [] {
            let value = option.value(writer.order)
            body.number(option.code)
            body.number(UInt16(value.count))
            body.padded(value)
        }
        if let options, !options.isEmpty, endsOptions { body.number(UInt32(0)) }
        let length = UInt32(body.bytes.count + 12)
        writer.number(type)
        writer.number(length)
        writer.raw(body.bytes)
        writer.number(length)
        boundaries.append(writer.bytes.count)
    }

    private mutating func add(
        _ number: Int, time: UInt64, _ bytes: [UInt8], original: UInt32?, cutTo limit: Int? = nil
    ) {
        packets.append(
            SamplePacket(
                time: time, original: original ?? UInt32(bytes.count), interface: interfaces[number].index,
                bytes: Array(bytes.prefix(limit ?? bytes.count))))
        ends.append(writer.bytes.count)
    }

    private func expectedTime(_ units: UInt64, _ number: Int) -> UInt64 {
        let interface = interfaces[number]
        return referenceTime(units, resolution: interface.resolution, offset: interface.offset)
    }
}
