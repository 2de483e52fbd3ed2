import Glibc
import Machine
import Sending
import TestSupport
import Testing

@Suite("Ranges of files into sockets", .serialized)
struct TransferTests {
    @Test("Every method sends exactly the range", arguments: SendMethod.allCases)
    func ranges(method: SendMethod) throws {
        try withTestFile(count: 1_500_000) { file in
            for range in [0..<1_500_000, 0..<1, 1..<2, 4095..<4097, 777..<1_000_001, 1_499_999..<1_500_000, 5..<5] {
                var driver = try Driver(method)
                defer { driver.pool.stop() }
                var transfer = FileTransfer(
                    descriptor: file.descriptor, start: UInt64(range.lowerBound), end: UInt64(range.upperBound),
                    ticket: 7)
                #expect(try driver.run(&transfer) == .finished)
                try driver.finish(&transfer)
                driver.connection.receive(until: range.count)
                #expect(driver.connection.received == TestFile.bytes(range))
            }
        }
    }

    @Test("A call sends no more than its limit", arguments: SendMethod.allCases)
    func bounded(method: SendMethod) throws {
        try withTestFile(count: 400_000) { file in
            var driver = try Driver(method)
            defer { driver.pool.stop() }
            var transfer = FileTransfer(descriptor: file.descriptor, start: 0, end: 400_000, ticket: 0)
            var before: UInt64 = 0
            _ = try driver.run(&transfer, limit: 1000) { transfer in
                #expect(transfer.position - before <= 1000)
                before = transfer.position
            }
            try driver.finish(&transfer)
            driver.connection.receive(until: 400_000)
            #expect(driver.connection.received == TestFile.bytes(0..<400_000))
        }
    }

    @Test("A reader that does not read blocks the transfer, not the caller", arguments: SendMethod.allCases)
    func slowReader(method: SendMethod) throws {
        try withTestFile(count: 16 << 20) { file in
            var driver = try Driver(method)
            defer { driver.pool.stop() }
            var transfer = FileTransfer(descriptor: file.descriptor, start: 0, end: 16 << 20, ticket: 0)
            #expect(try driver.run(&transfer) == .finished)
            #expect(driver.outcomes.contains(.blocked))
            try driver.finish(&transfer)
            driver.connection.receive(until: 16 << 20)
            #expect(driver.connection.received == TestFile.bytes(0..<(16 << 20)))
        }
    }

    @Test("A file that shrinks ends the transfer", arguments: SendMethod.allCases)
    func shrinking(method: SendMethod) throws {
        try withTestFile(count: 12 << 20) { file in
            var driver = try Driver(method)
            defer { driver.pool.stop() }
            var transfer = FileTransfer(descriptor: file.descriptor, start: 0, end: 12 << 20, ticket: 0)
            var isCut = false
            let outcome = try driver.run(&transfer) { transfer in
                guard !isCut, transfer.position > 1 << 20 else { return }
                isCut = ftruncate(file.descriptor, 8 << 20) == 0
            }
            #expect(isCut)
            #expect(outcome == .shrunk)
            #expect(transfer.position == 8 << 20)
            try driver.finish(&transfer)
        }
    }

    @Test("A file that grows is sent at its first length", arguments: SendMethod.allCases)
    func growing(method: SendMethod) throws {
        try withTestFile(count: 1_000_001) { file in
            var driver = try Driver(method)
            defer { driver.pool.stop() }
            var transfer = FileTransfer(descriptor: file.descriptor, start: 0, end: 1_000_001, ticket: 0)
            let outcome = try driver.run(&transfer) { _ in
                let more = [UInt8](repeating: 0xEE, count: 10_000)
                _ = lseek(file.descriptor, 0, SEEK_END)
                _ = unsafe write(file.descriptor, more, more.count)
            }
            #expect(outcome == .finished)
            try driver.finish(&transfer)
            driver.connection.receive(until: 1_000_001)
            usleep(1000)
            driver.connection.receive()
            #expect(driver.connection.received == TestFile.bytes(0..<1_000_001))
        }
    }

    @Test("Lengths and offsets are 64 bit", arguments: SendMethod.allCases)
    func farOffsets(method: SendMethod) throws {
        try withTestFile(count: 10) { file in
            let place = 5 << 32
            let mark = TestFile.bytes(0..<5000)
            #expect(unsafe pwrite(file.descriptor, mark, mark.count, off_t(place)) == mark.count)
            var driver = try Driver(method)
            defer { driver.pool.stop() }
            var transfer = FileTransfer(
                descriptor: file.descriptor, start: UInt64(place) - 100, end: UInt64(place) + 5000, ticket: 0)
            #expect(try driver.run(&transfer) == .finished)
            try driver.finish(&transfer)
            driver.connection.receive(until: 5100)
            #expect(driver.connection.received == [UInt8](repeating: 0, count: 100) + mark)
        }
    }

    @Test("A peer that is gone is an error number, not a signal", arguments: SendMethod.allCases)
    func brokenPeer(method: SendMethod) throws {
        try withTestFile(count: 16 << 20) { file in
            var driver = try Driver(method)
            defer { driver.pool.stop() }
            driver.connection.hangUp()
            var transfer = FileTransfer(descriptor: file.descriptor, start: 0, end: 16 << 20, ticket: 0)
            let outcome = try driver.run(&transfer)
            #expect(outcome == .failed(EPIPE) || outcome == .failed(ECONNRESET))
            try driver.finish(&transfer)
        }
    }
}
