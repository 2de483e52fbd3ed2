internal import Capture
internal import Pcapng

/// A capture file that a query looks at.
struct QueryFile {
    let file: OpenFile
    let name: [UInt8]
    /// Where its batches lie, if it is made of batches.
    let batches: BatchFile?
    /// The first packet's time, or the least one of a file whose times are known.
    let firstTime: UInt64?
    /// Whether no packet is older than `firstTime`.
    let isOrdered: Bool

    /// Nil if the file is no capture.
    init?(_ file: OpenFile, name: [UInt8]) {
        self.file = file
        self.name = name
        if let batches = BatchFile(file) {
            self.batches = batches
            firstTime = batches.least
            isOrdered = true
            return
        }
        batches = nil
        isOrdered = false
        guard var capture = Self.open(file) else { return nil }
        var found: UInt64?
        search: while true {
            switch capture.next() {
            case .packet:
                found = capture.packet.time
                break search
            case .interface: _ = capture.takeInterface()
            case .refill: do { try capture.refill() } catch { return nil }
            case .damaged, .end: break search
            }
        }
        guard found != nil else { return nil }
        firstTime = found
    }

    /// The file once more, to be read from its start: by the descriptor that was opened beneath the served directory.
    static func open(_ file: OpenFile) -> CaptureFile? {
        try? CaptureFile(path: "/proc/self/fd/\(file.descriptor)")
    }
}
