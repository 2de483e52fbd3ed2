import CMachine
import Glibc
import Machine
import Synchronization
import TestSupport

/// Stands between a sender and a receiver, passes everything on, and does something to it.
final class Proxy: Sendable {
    enum Mischief: Sendable {
        /// Nothing.
        case none
        /// Flips a bit in this piece, so many times that it comes by.
        case damage(piece: UInt64, times: Int)
        /// Stops reading after so many bytes.
        case stall(after: Int)
        /// Cuts the first connection after so many bytes.
        case cut(after: Int)
    }

    let port: UInt16
    private let listener: Int32
    private let target: UInt16
    private let mischief: Mischief
    private let passed = Atomic<Int>(0), damages = Atomic<Int>(0), cuts = Atomic<Int>(0)
    private let sockets = Mutex<[Int32]>([])

    /// Bytes that went to the receiver.
    var bytes: Int { passed.load(ordering: .relaxed) }

    init(to target: UInt16, _ mischief: Mischief) throws {
        (self.target, self.mischief) = (target, mischief)
        let (socket, endpoint) = try Listening.open(Endpoint(parsing: "127.0.0.1:0")!, backlog: 16)
        _ = fcntl(socket, F_SETFL, 0)
        (listener, port) = (socket, endpoint.port)
        try PinnedThread(name: "proxy", cpus: nil) { [self] in
            while true {
                let incoming = accept(listener, nil, nil)
                if incoming < 0 { return }
                serve(incoming)
            }
        }.detach()
    }

    /// Ends all connections; threads end with them.
    func stop() {
        shutdown(listener, Int32(SHUT_RDWR))
        sockets.withLock { for socket in $0 { shutdown(socket, Int32(SHUT_RDWR)) } }
    }

    private func serve(_ incoming: Int32) {
        let outgoing = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        let endpoint = Endpoint(parsing: "127.0.0.1:\(target)")!
        guard unsafe endpoint.withSocketAddress({ unsafe connect(outgoing, $0, $1) }) == 0 else {
            close(incoming)
            close(outgoing)
            return
        }
        sockets.withLock { $0 += [incoming, outgoing] }
        for (from, to, isForward) in [(incoming, outgoing, true), (outgoing, incoming, false)] {
            try? PinnedThread(name: "proxy", cpus: nil) { [self] in pump(from, to, isForward) }.detach()
        }
    }

    private func pump(_ from: Int32, _ to: Int32, _ isForward: Bool) {
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        var finder = DataFinder()
        while true {
            if isForward, case .stall(let after) = mischief, bytes >= after { return }
            let count = unsafe recv(from, &buffer, buffer.count, 0)
            guard count > 0 else { break }
            if isForward {
                if case .damage(let piece, let times) = mischief {
                    finder.find(buffer[..<count], offset: piece << 20 | 5) { place in
                        if damages.add(1, ordering: .relaxed).newValue <= times { buffer[place] ^= 0x10 }
                    }
                }
                let all = passed.add(count, ordering: .relaxed).newValue
                if case .cut(let after) = mischief, all >= after, cuts.add(1, ordering: .relaxed).newValue == 1 {
                    break
                }
            }
            var sent = 0
            while sent < count {
                let done = unsafe buffer.withUnsafeBytes {
                    unsafe send(to, $0.baseAddress! + sent, count - sent, Int32(MSG_NOSIGNAL))
                }
                if done <= 0 { break }
                sent += done
            }
            if sent < count { break }
        }
        shutdown(from, Int32(SHUT_RDWR))
        shutdown(to, Int32(SHUT_RDWR))
    }
}

/// Finds a byte of a file in the stream to a receiver, by its own reading of docs/send-format.md.
private struct DataFinder {
    private var head: [UInt8] = []
    private var rest: UInt64 = 0, offset: UInt64 = 0
    private var isData = false

    mutating func find(_ bytes: ArraySlice<UInt8>, offset wanted: UInt64, _ found: (Int) -> Void) {
        var place = bytes.startIndex
        while place < bytes.endIndex {
            if rest == 0 {
                head.append(bytes[place])
                place += 1
                guard head.count >= 8 else { continue }
                let length = number(0, 4), kind = number(4, 2)
                isData = kind == 7
                if isData, head.count < 24 { continue }
                offset = isData ? number(16, 8) : 0
                rest = isData ? length - 16 : length
                head = []
                continue
            }
            let step = min(rest, UInt64(bytes.endIndex - place))
            if isData, wanted >= offset, wanted < offset + step { found(place + Int(wanted - offset)) }
            offset += step
            rest -= step
            place += Int(step)
        }
    }

    private func number(_ start: Int, _ count: Int) -> UInt64 {
        head[start..<start + count].reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }
}
