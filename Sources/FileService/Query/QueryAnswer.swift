internal import CSending
internal import Capture
internal import Glibc
internal import Pcapng

/// The pcapng that answers a query, written as it is made.
struct QueryAnswer {
    private let query: CaptureQuery
    private let writer: LentWriter
    /// Interfaces of the section that is ours, by their description blocks; nil before it begins, and after a file with a
    /// section of its own.
    private var interfaces: [[UInt8]: UInt32]?
    private var filters: [UInt16: PacketFilter?] = [:]
    private var hasSection = false
    private var record = [UInt8](repeating: 0, count: Record.maximumByteCount)

    init(_ query: CaptureQuery, _ writer: LentWriter) {
        self.query = query
        self.writer = writer
    }

    /// Adds what a file has of it.
    mutating func add(_ file: OpenFile) {
        if let batches = BatchFile(file, times: query.from...query.to) {
            addBatches(file, batches)
        } else {
            addPackets(file)
        }
    }

    /// Ends the answer; without any packet it is still a pcapng.
    mutating func end() {
        if !hasSection { beginSection() }
        writer.endStream(isComplete: !writer.isOver)
    }

    private mutating func beginSection() {
        let header = StreamBlocks.sectionHeader(hardware: nil, system: nil, application: "spillway serve")
        unsafe header.withUnsafeBytes { unsafe writer.add($0) }
        interfaces = [:]
        hasSection = true
    }

    /// A filter compiled for a link type; nil within if the link type knows no such thing, so that nothing matches.
    private mutating func matches(_ link: UInt16, _ bytes: UnsafeRawPointer, _ captured: UInt32, _ original: UInt32)
        -> Bool
    {
        guard let expression = query.filter else { return true }
        if filters[link] == nil { filters[link] = .some(try? PacketFilter(expression, linkType: LinkType(link))) }
        guard let filter = filters[link]! else { return false }
        return unsafe filter.matches(bytes, captured: captured, original: original)
    }

    // ---- files of others -----------------------------------------------------------------------------------------

    private mutating func addPackets(_ file: OpenFile) {
        guard var capture = QueryFile.open(file) else { return }
        var labels: [InterfaceLabel] = []
        while !writer.isOver {
            switch capture.next() {
            case .interface: labels.append(InterfaceLabel(capture.takeInterface()))
            case .refill: do { try capture.refill() } catch { return }
            // What could be read of a damaged file, or of one that is still being written, is in the answer.
            case .damaged, .end: return
            case .packet:
                let packet = capture.packet
                guard query.contains(packet.time) else { continue }
                unsafe add(packet, capture.packetBytes, labels[Int(packet.interface)])
            }
        }
    }

    private mutating func add(_ packet: PacketHeader, _ bytes: UnsafeRawBufferPointer, _ label: InterfaceLabel) {
        let original = max(packet.original, packet.captured)
        var label = label
        if label.linkType == LinkType.rawIP.value {
            let isSix = unsafe packet.captured > 0 && bytes[0] >> 4 == 6
            label.linkType = isSix ? LinkType.ipv6.value : LinkType.ipv4.value
        }
        guard let base = bytes.baseAddress, unsafe matches(label.linkType, base, packet.captured, original) else {
            return
        }
        let interface = identifier(label)
        let count = unsafe record.withUnsafeMutableBytes { target in
            unsafe Record.write(
                to: target.baseAddress!, time: packet.time, interface: interface, bytes: base,
                captured: packet.captured,
                original: original)
        }
        unsafe record.withUnsafeBytes { unsafe writer.add(UnsafeRawBufferPointer(rebasing: $0[..<count])) }
    }

    /// The interface's number in our section, described there if it is new.
    private mutating func identifier(_ label: InterfaceLabel) -> UInt32 {
        if interfaces == nil { beginSection() }
        let block = StreamBlocks.interface(label)
        if let known = interfaces![block] { return known }
        let number = UInt32(interfaces!.count)
        interfaces![block] = number
        unsafe block.withUnsafeBytes { unsafe writer.add($0) }
        return number
    }

    // ---- files of batches ----------------------------------------------------------------------------------------

    private mutating func addBatches(_ file: OpenFile, _ batches: BatchFile) {
        hasSection = true
        interfaces = nil
        var links: [UInt16] = []
        var run: Range<UInt64>?
        func flush() {
            if let run { writer.add(file, run) }
        }
        for part in batches.parts where !writer.isOver {
            switch part.type {
            case BlockType.batchTrailer:
                guard part.least <= query.to, part.greatest >= query.from else { continue }
                if query.filter == nil, part.least >= query.from, part.greatest <= query.to { break }
                flush()
                run = nil
                addRecords(file, part, links)
                continue
            case BlockType.sectionHeader: links = []
            case BlockType.interfaceDescription: links.append(Self.linkType(file, part))
            case BlockType.lane: break
            // Statistics speak of more than the answer holds, and a footer of a file that this is not.
            default: continue
            }
            // Neighbours go in one piece.
            if let before = run, before.upperBound == part.start {
                run = before.lowerBound..<part.end
            } else {
                flush()
                run = part.start..<part.end
            }
        }
        flush()
    }

    private static func linkType(_ file: OpenFile, _ part: BatchWalk.Part) -> UInt16 {
        var value: UInt16 = 0
        return unsafe spillway_read_at(file.descriptor, &value, 2, part.start + 8) == 2
            ? UInt16(littleEndian: value) : 0
    }

    /// Records of a batch that match, each as it is.
    private mutating func addRecords(_ file: OpenFile, _ part: BatchWalk.Part, _ links: [UInt16]) {
        let count = Int(part.recordsEnd - part.start)
        guard count <= 64 << 20 else { return }
        let bytes = UnsafeMutableRawPointer.allocate(byteCount: max(count, 1), alignment: 8)
        defer { unsafe bytes.deallocate() }
        guard unsafe spillway_read_at(file.descriptor, bytes, count, part.start) == count else { return }
        var place = 0
        while place + 32 <= count {
            let record = unsafe RecordView(bytes + place)
            let length = record.byteCount
            guard length >= 32, length % 4 == 0, length <= count - place, record.captured <= length - 32 else { return }
            let link = Int(record.interface) < links.count ? links[Int(record.interface)] : nil
            if let link, query.contains(record.time),
                unsafe matches(link, record.data, UInt32(record.captured), record.original)
            {
                unsafe writer.add(UnsafeRawBufferPointer(start: bytes + place, count: length))
            }
            place += length
        }
    }
}

extension InterfaceLabel {
    /// What a capture file says of an interface, in our own form.
    init(_ description: InterfaceDescription) {
        self.init(linkType: description.linkType.value, name: description.name)
        summary = description.description
        filter = description.filter
        hardware = description.hardware
        system = description.operatingSystem
        fcsLength = description.frameCheckOctets
    }
}
