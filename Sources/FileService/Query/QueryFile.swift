internal import Capture
internal import Pcapng

/// A capture file that a query may take packets from: its name and what is known of its times. It is opened again when its turn
/// comes, so that a directory of any size takes one descriptor at a time.
struct QueryFile {
    let name: [UInt8]
    /// The least packet time of a file of batches, the first one of any other: files are taken in this order.
    let firstTime: UInt64

    /// Nil if the file is no capture, or surely has no packets of these times.
    init?(_ file: OpenFile, name: [UInt8], times: ClosedRange<UInt64>) {
        self.name = name
        if let own = BatchFile.times(of: file) {
            guard own.overlaps(times) else { return nil }
            firstTime = own.lowerBound
            return
        }
        // Nobody says that the first packet is the oldest one.
        guard let first = Self.firstTime(of: file) else { return nil }
        firstTime = first
    }

    private static func firstTime(of file: OpenFile) -> UInt64? {
        guard var capture = open(file) else { return nil }
        while true {
            switch capture.next() {
            case .packet: return capture.packet.time
            case .interface: _ = capture.takeInterface()
            case .refill: do { try capture.refill() } catch { return nil }
            case .damaged, .end: return nil
            }
        }
    }

    /// The file once more, to be read from its start: by the descriptor that was opened beneath the served directory.
    static func open(_ file: OpenFile) -> CaptureFile? {
        try? CaptureFile(path: "/proc/self/fd/\(file.descriptor)")
    }
}
