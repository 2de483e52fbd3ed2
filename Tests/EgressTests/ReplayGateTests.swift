import Glibc
import Machine
import TestSupport
import Testing

@testable import Egress

/// What is replayed waits for the reader while live batches come. The times are made up, the sockets are real.
@Suite("Egress: replay beside live batches", .timeLimit(.minutes(5)))
struct ReplayGateTests {
    private static let start: UInt64 = 1_000_000_000
    private static let millisecond: UInt64 = 1_000_000

    /// A connection to a reader that takes nothing, and a gate that has seen its window wide open.
    private final class Rig {
        let listener: TestListener
        let sender: TestReader
        let reader: TestReader
        var gate = ReplayGate()

        init() throws {
            listener = try TestListener(receiveBuffer: 64 << 10)
            // Segments as large as those of the loopback interface would leave a part of the window that none fits into.
            var segment: Int32 = 1400
            let status = unsafe setsockopt(
                listener.descriptor, Int32(IPPROTO_TCP), TCP_MAXSEG, &segment, socklen_t(MemoryLayout<Int32>.size))
            try #require(status == 0)
            sender = try TestReader(to: listener.endpoint)
            reader = try listener.accept()
            gate.liveAt = start
            #expect(lets(after: 0))
            #expect(lets(after: 0))
        }

        /// Fills the sockets until they take no more.
        func fill() throws {
            let bytes = [UInt8](repeating: 7, count: 1 << 16)
            try waitUntil("the window shuts") {
                let sent = unsafe send(
                    sender.descriptor, bytes, bytes.count, Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL))
                return sent < 0 && !lets(after: 0)
            }
        }

        /// Asks at one moment.
        func lets(after milliseconds: UInt64, outstanding: UInt64 = 0) -> Bool {
            gate.lets(
                through: sender.descriptor, outstanding: outstanding, now: start + milliseconds * millisecond)
        }
    }

    @Test("Beside live batches nothing is begun while the reader has not taken what it has, and then it is")
    func waits() throws {
        let rig = try Rig()
        try rig.fill()
        #expect(!rig.lets(after: 1))
        #expect(!rig.lets(after: 19))
        try waitUntil("the window opens") {
            rig.reader.read()
            // Something live, which makes the reader say how wide its window is.
            var byte: UInt8 = 7
            _ = unsafe send(rig.sender.descriptor, &byte, 1, Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL))
            return rig.lets(after: 19)
        }
    }

    @Test("What a reader near by has not acknowledged counts as not taken")
    func outstanding() throws {
        let rig = try Rig()
        #expect(rig.lets(after: 1))
        #expect(!rig.lets(after: 2, outstanding: 1 << 30))
    }

    @Test("Without live batches nothing waits")
    func idle() throws {
        let rig = try Rig()
        try rig.fill()
        #expect(!rig.lets(after: 1))
        #expect(rig.lets(after: 50))
        #expect(rig.lets(after: 51))
        rig.gate.liveAt = Self.start + 52 * Self.millisecond
        #expect(!rig.lets(after: 53))
    }

    @Test("Beside live batches without end a batch goes out every 20 ms all the same")
    func longestWait() throws {
        let rig = try Rig()
        try rig.fill()
        var passed: [UInt64] = []
        for time in 1..<UInt64(100) {
            rig.gate.liveAt = Self.start + time * Self.millisecond
            if rig.lets(after: time) { passed.append(time) }
        }
        #expect(passed == [20, 40, 60, 80])
    }
}
