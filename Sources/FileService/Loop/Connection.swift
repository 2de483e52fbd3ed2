internal import Glibc
internal import Machine
internal import Sending

/// A client's connection: what was received and not yet understood, and the response that is being sent.
@safe final class Connection {
    // Safe because the input belongs to the connection, and `start ... end` stays inside it.

    /// What a connection is doing.
    enum Phase {
        /// Waiting for a request, or for the rest of one.
        case head
        /// Sending a response.
        case sending
        /// All of a file that is followed is sent; waiting for it to grow.
        case following
        /// A thread of its own answers; the loop keeps its hands off.
        case lent
        /// The last response is sent; waiting for the client to close, so that nothing it still sends resets the
        /// connection before it has read all.
        case closing
        case closed
    }

    /// Room for a head. Longer ones are refused.
    static let headBytes = 16 << 10

    let descriptor: Int32
    let peer: Endpoint
    let client: Client
    /// Tells this connection from an earlier one in the same place.
    let place: Int

    var phase = Phase.head
    var isReadable = true, isWritable = true
    /// The kernel has said that the client will send no more; what it sent before may still wait to be received.
    var isHungUp = false
    /// All that the client sent has been received, and there will be no more.
    var hasEnded = false
    /// Whether the loop has this connection on its list for the turn.
    var isQueued = false
    /// When patience ends (monotonic clock).
    var deadline: UInt64 = 0
    /// Whether the client has shown that it takes much in a short time.
    var isFast = false
    /// When a rate limit lets it go on, 0 if none holds it up.
    var wakesAt: UInt64 = 0

    /// What was received: bytes from `start` to before `end`.
    let input = UnsafeMutableRawPointer.allocate(byteCount: headBytes, alignment: 16)
    var start = 0, end = 0
    /// Up to where the input was searched for the end of a head.
    var searched = 0
    /// Bytes of blank lines before the next request.
    var skipped = 0
    /// Bytes of a request's body to be thrown away.
    var discarding: UInt64 = 0

    /// Bytes to be sent first, and how many of them are.
    var output: [UInt8] = []
    var outputSent = 0
    /// What follows them.
    var body: ResponseBody?
    var keepsAlive = false

    // For the log.
    var method = "", target = ""
    var status: UInt16 = 0
    var sentBytes: UInt64 = 0
    var began: UInt64 = 0

    init(_ descriptor: Int32, _ peer: Endpoint, _ client: Client, place: Int) {
        self.descriptor = descriptor
        self.peer = peer
        self.client = client
        self.place = place
        output.reserveCapacity(1024)
    }

    deinit { unsafe input.deallocate() }

    /// The input that has not been dealt with.
    var pending: UnsafeRawBufferPointer {
        unsafe UnsafeRawBufferPointer(start: input + start, count: end - start)
    }

    /// Marks input as dealt with.
    func consume(_ count: Int) {
        start += count
        if start == end { (start, end) = (0, 0) }
        searched = start
    }

    /// Skips blank lines in front; false if there are too many of them.
    func skipBlankLines() -> Bool {
        while start < end {
            let byte = unsafe input.load(fromByteOffset: start, as: UInt8.self)
            guard byte == 0x0D || byte == 0x0A else { break }
            skipped += 1
            consume(1)
        }
        return skipped <= 16
    }

    /// Whether the input may hold a whole head: it has a blank line. Each byte is looked at once, however slowly they come.
    func hasBlankLine() -> Bool {
        var place = max(searched, start)
        while place < end {
            guard let found = unsafe memchr(input + place, 0x0A, end - place) else {
                searched = end
                return false
            }
            let next = unsafe UnsafeRawPointer(found) - UnsafeRawPointer(input) + 1
            guard next < end else {
                searched = next - 1
                return false
            }
            let byte = unsafe input.load(fromByteOffset: next, as: UInt8.self)
            if byte == 0x0A { return true }
            if byte == 0x0D {
                guard next + 1 < end else {
                    searched = next - 1
                    return false
                }
                if unsafe input.load(fromByteOffset: next + 1, as: UInt8.self) == 0x0A { return true }
            }
            place = next
        }
        searched = max(searched, start)
        return false
    }

    /// Moves what is left to the front, so that there is room behind it.
    func compact() {
        guard start > 0 else { return }
        unsafe memmove(input, input + start, end - start)
        searched -= start
        end -= start
        start = 0
    }
}

/// The part of a response that comes out of a file.
struct ResponseBody {
    /// A range of the file, and what goes before it.
    struct Part {
        var lead: [UInt8] = []
        var range: Range<UInt64>
    }

    var file: OpenFile
    var use: SharedFiles.Use
    var parts: [Part]
    var next = 0
    /// What goes behind the last part.
    var trail: [UInt8] = []
    /// The part that is being sent.
    var transfer: FileTransfer?
    /// Set when the file is followed while it grows.
    var follow: Follow?

    /// How a growing file is sent.
    struct Follow {
        /// inotify's number for it.
        var watch: Int32
        /// Whether the stream is sent in chunks (HTTP/1.1), or ends with the connection.
        var isChunked: Bool
        /// Whether it ends when the writer closes the file.
        var endsAtClose: Bool
        /// A chunk was sent and its closing line break was not.
        var owesLineBreak = false
        /// Nothing will be added any more.
        var isComplete = false
        /// Up to where it has been sent, or is being sent.
        var position: UInt64
    }
}
