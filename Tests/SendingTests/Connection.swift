import Glibc
import Machine
import Sending

/// Two ends of a TCP connection over loopback; the sending one does not wait.
final class Connection {
    let sender: Int32
    private(set) var receiver: Int32
    private(set) var received: [UInt8] = []
    private var chunk = [UInt8](repeating: 0, count: 1 << 18)

    init() throws {
        let loopback = Endpoint(ipv4: UInt32(0x7F00_0001).bigEndian, port: 0)
        let (listener, endpoint) = try Listening.open(loopback, backlog: 1)
        defer { close(listener) }
        let client = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        receiver = client
        let status = unsafe endpoint.withSocketAddress { unsafe connect(client, $0, $1) }
        precondition(status == 0, "connect: \(errno)")
        var entry = pollfd(fd: listener, events: Int16(POLLIN), revents: 0)
        _ = unsafe poll(&entry, 1, 10_000)
        sender = accept(listener, nil, nil)
        precondition(sender >= 0, "accept: \(errno)")
        _ = fcntl(sender, F_SETFL, O_NONBLOCK)
        _ = fcntl(receiver, F_SETFL, O_NONBLOCK)
    }

    deinit {
        close(sender)
        hangUp()
    }

    func hangUp() {
        if receiver >= 0 { close(receiver) }
        receiver = -1
    }

    /// Takes what is there; how many bytes that were.
    @discardableResult func receive() -> Int {
        var total = 0
        while true {
            let count = unsafe chunk.withUnsafeMutableBytes { unsafe recv(receiver, $0.baseAddress, $0.count, 0) }
            guard count > 0 else { return total }
            received += chunk[..<count]
            total += count
        }
    }

    func receive(until count: Int) {
        while received.count < count {
            var entry = pollfd(fd: receiver, events: Int16(POLLIN), revents: 0)
            guard unsafe poll(&entry, 1, 20_000) > 0, receive() > 0 else { return }
        }
    }
}
