internal import CMachine
internal import Glibc

/// What waits to be sent on a connection, and what of a message has come in.
struct MessageBuffer {
    private var output: [UInt8] = []
    private var sent = 0
    private var input: [UInt8] = []

    /// Bytes that wait to be sent.
    var waiting: Int { output.count - sent }

    /// Puts bytes behind what waits.
    mutating func say(_ bytes: [UInt8]) { output += bytes }

    /// Puts a message behind what waits.
    mutating func say(_ message: Message) { say(message.encoded()) }

    /// Sends what the socket takes: true when nothing waits any more, false when the socket is full.
    ///
    /// - Parameter more: whether bytes of a file follow at once, which may share the packet.
    mutating func flush(_ socket: Int32, more: Bool = false) throws(ProtocolProblem) -> Bool {
        while waiting > 0 {
            let start = sent
            let count = unsafe output.withUnsafeBytes { buffer in
                unsafe send(
                    socket, buffer.baseAddress! + start, buffer.count - start,
                    Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL) | (more ? Int32(MSG_MORE) : 0))
            }
            if count < 0, errno == EAGAIN { return false }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw .broken("the connection broke: \(reason(errno))") }
            sent += count
        }
        output.removeAll(keepingCapacity: output.capacity <= 1 << 16)
        sent = 0
        return true
    }

    /// Reads until a message, or the head of DATA, is whole; nil when there is nothing more for now.
    ///
    /// Exactly that is read and nothing of what follows, because bytes of a file go another way.
    mutating func next(
        _ socket: Int32, limit: Int = Message.greatest
    ) throws(ProtocolProblem) -> (kind: UInt16, body: [UInt8], payload: UInt64)? {
        guard try fill(socket, Message.headerCount) else { return nil }
        var reader = WireReader(input)
        let length: UInt32 = try reader.number()
        let kind: UInt16 = try reader.number()
        let isData = kind == Message.Kind.data.rawValue
        guard isData ? length > 16 : length <= limit else { throw .malformed("a message of \(length) bytes") }
        let body = isData ? 16 : Int(length)
        guard try fill(socket, Message.headerCount + body) else { return nil }
        defer { input.removeAll(keepingCapacity: input.capacity <= 1 << 16) }
        return (kind, Array(input[Message.headerCount...]), isData ? UInt64(length) - 16 : 0)
    }

    /// Reads up to this many bytes in all.
    private mutating func fill(_ socket: Int32, _ wanted: Int) throws(ProtocolProblem) -> Bool {
        while input.count < wanted {
            let had = input.count
            // A length that somebody claims takes memory only as the bytes come.
            let step = min(wanted - had, 1 << 16)
            input.append(contentsOf: repeatElement(0, count: step))
            let count = unsafe input.withUnsafeMutableBytes { buffer in
                unsafe spillway_receive(socket, buffer.baseAddress! + had, step)
            }
            input.removeLast(step - max(0, count))
            if count == -Int(EAGAIN) { return false }
            if count == 0 { throw .broken("the connection was closed") }
            if count < 0 { throw .broken("the connection broke: \(reason(Int32(-count)))") }
        }
        return true
    }
}

/// The kernel's words for an errno.
func reason(_ code: Int32) -> String { unsafe String(cString: strerror(code)) }
