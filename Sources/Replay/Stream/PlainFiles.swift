internal import Capture
internal import Glibc
internal import Machine
internal import Pcapng

/// Capture files whose bytes are a stream as a plain reader takes it: whole pcapng sections, one behind the other, of one link
/// type and one snapshot length, because libpcap reads nothing else in a row (docs/format.md, "Link types").
public struct PlainFiles: Sendable {
    struct File: Sendable {
        var path: String
        var byteCount: UInt64
    }

    let files: [File]
    /// Packets in all of them.
    public private(set) var packets: UInt64 = 0

    /// Reads all files once; nil if one of them is no such file, or is damaged. What is there of such a file can still be
    /// delivered packet by packet.
    public init?(_ paths: [String]) {
        var files: [File] = []
        var kind: (linkType: UInt16, snapLength: UInt32)?
        for path in paths {
            guard Self.isPcapng(path), var file = try? CaptureFile(path: path), let byteCount = file.totalBytes
            else { return nil }
            reading: while true {
                switch file.next() {
                case .packet: packets += 1
                case .interface:
                    let interface = file.takeInterface()
                    let found = (interface.linkType.value, interface.snapLength)
                    guard kind == nil || kind! == found, interface.linkType != .rawIP else { return nil }
                    kind = found
                case .refill:
                    guard (try? file.refill()) != nil else { return nil }
                case .damaged: return nil
                case .end: break reading
                }
            }
            files.append(File(path: path, byteCount: byteCount))
        }
        self.files = files
    }

    /// Whether a regular file begins with a Section Header Block.
    private static func isPcapng(_ path: String) -> Bool {
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        var type: UInt32 = 0
        return unsafe pread(descriptor, &type, 4, 0) == 4 && type == BlockType.sectionHeader
    }
}

extension StreamPlayer {
    /// Sends whole files to a plain reader. There is nothing to go on from after a break, and nobody knows which packets the
    /// reader has then: all count as undelivered, and the bytes are what its TCP has taken.
    func play(_ files: PlainFiles) {
        while !stop.isSet {
            var socket: StreamSocket?
            do throws(StreamSocket.Broken) {
                let made = try connect()
                socket = made
                try send(files, to: made)
                outcome.destination.packets = files.packets
                outcome.destination.problem = nil
                return
            } catch {
                outcome.destination.problem = error.reason
                outcome.destination.bytes = lastTaken
                if let socket, socket.written > 0 { break }
                if hasLostPatience { break }
                Clock.sleep(nanoseconds: 100_000_000)
            }
        }
        if outcome.destination.problem == nil { outcome.destination.problem = "stopped" }
        outcome.destination.unsentPackets = files.packets
    }

    private func send(_ files: PlainFiles, to socket: StreamSocket) throws(StreamSocket.Broken) {
        for file in files.files {
            let descriptor = unsafe open(file.path, O_RDONLY | O_CLOEXEC)
            guard descriptor >= 0 else { throw StreamSocket.Broken(reason: SystemError("open", file.path).description) }
            defer { close(descriptor) }
            try socket.send(descriptor, from: 0, count: file.byteCount) { () throws(StreamSocket.Broken) in
                // As long as the reader takes something there is progress.
                self.noteProgress(socket)
            }
            outcome.destination.bytes += file.byteCount
        }
        while socket.unacknowledged > 0 {
            guard Clock.monotonic() < noteProgress(socket) else {
                throw StreamSocket.Broken(reason: "no progress in time")
            }
            if try socket.wait(for: POLLIN, until: Clock.monotonic() &+ 2_000_000) & POLLIN != 0, !socket.isAtEnd {
                _ = try socket.receive()
                socket.inbox = []
            } else {
                Clock.sleep(nanoseconds: 1_000_000)
            }
        }
        socket.shutDown()
    }
}
