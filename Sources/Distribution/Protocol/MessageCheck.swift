internal import CMachine
internal import Glibc

/// What a fuzzer asks of the reading of messages.
@_spi(Fuzzing) public enum MessageCheck {
    /// Reads bytes as a connection brings them, and then as the body of each kind of message.
    ///
    /// What is understood, and written and read again, must be the same; everything else must be an error.
    public static func check(_ bytes: [UInt8]) {
        readAsConnection(bytes)
        guard let first = bytes.first else { return }
        let body = Array(bytes.dropFirst())
        if let kind = Message.Kind(rawValue: UInt16(first % 18)) { understand(kind, body) }
    }

    private static func readAsConnection(_ bytes: [UInt8]) {
        var ends: (Int32, Int32) = (-1, -1)
        let status = unsafe withUnsafeMutablePointer(to: &ends) { pair in
            unsafe pair.withMemoryRebound(to: Int32.self, capacity: 2) {
                unsafe socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, $0)
            }
        }
        precondition(status == 0, "no pair of sockets")
        defer {
            close(ends.0)
            close(ends.1)
        }
        let sent = unsafe bytes.withUnsafeBytes { unsafe send(ends.0, $0.baseAddress, $0.count, Int32(MSG_DONTWAIT)) }
        precondition(sent == bytes.count || bytes.isEmpty || sent < 0, "a socket that takes half")
        shutdown(ends.0, Int32(SHUT_WR))
        var buffer = MessageBuffer()
        while let (kind, body, payload) = try? buffer.next(ends.1) {
            if let kind = Message.Kind(rawValue: kind) { understand(kind, body) }
            var rest = payload
            var sink = [UInt8](repeating: 0, count: 4096)
            while rest > 0 {
                let most = Int(min(rest, 4096))
                let count = unsafe sink.withUnsafeMutableBytes {
                    unsafe spillway_receive(ends.1, $0.baseAddress!, most)
                }
                if count <= 0 { return }
                rest -= UInt64(count)
            }
        }
    }

    private static func understand(_ kind: Message.Kind, _ body: [UInt8]) {
        switch kind {
        case .hello:
            guard let hello = try? Greeting.Hello(body) else { return }
            precondition(hello.session.count == 16 && hello.challenge.count == 32)
            let again = try? Greeting.Hello(hello.encoded())
            precondition(again?.encoded() == hello.encoded(), "a greeting that is not read as it is written")
        case .welcome:
            guard let welcome = try? Greeting.Welcome(body) else { return }
            precondition(try! Greeting.Welcome(welcome.encoded()).encoded() == welcome.encoded())
        case .receipt:
            guard let receipt = Receipt(Message.framed(.receipt, body)) else { return }
            precondition(Receipt(receipt.encoded())?.encoded() == receipt.encoded())
        case .proof, .data: break
        default:
            guard let message = try? Message(kind, body) else { return }
            // Sentences of control characters and half letters change the first time they are written, and then no more.
            let once = message.encoded()
            guard let again = try? Message(kind, Array(once.dropFirst(Message.headerCount))) else {
                preconditionFailure("\(kind): what was understood and written is not understood")
            }
            precondition(again.encoded() == once, "\(kind): not read as it is written")
        }
    }
}
