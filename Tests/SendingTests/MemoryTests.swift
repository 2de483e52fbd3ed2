import Glibc
import Machine
import Sending
import TestSupport
import Testing

@Suite("Pages before and behind the sending", .serialized)
struct MemoryTests {
    @Test("What is not in memory is brought in by a helper, and let go of behind", arguments: SendMethod.allCases)
    func coldFile(method: SendMethod) throws {
        try withTestFile(count: 24 << 20) { file in
            try require(file.evict(), orSkip: "the temporary folder's file system keeps its files in memory")
            var driver = try Driver(method)
            defer { driver.pool.stop() }
            // Without the kernel's read-ahead, which is as long as the device is told it should be.
            var limits = TransferLimits()
            limits.streams = false
            var transfer = FileTransfer(
                descriptor: file.descriptor, start: 0, end: 24 << 20, ticket: 3, limits: limits)
            var most = 0
            let connection = driver.connection
            let outcome = try driver.run(&transfer, limit: 1 << 20) { _ in
                connection.receive()
                most = max(most, file.residentPages())
            }
            #expect(outcome == .finished)
            #expect(driver.outcomes.first == .loading)
            driver.connection.receive(until: 24 << 20)
            #expect(driver.connection.received == TestFile.bytes(0..<(24 << 20)))
            try driver.finish(&transfer)
            #expect(driver.pool.figures.loadedBytes == 24 << 20)
            // What went last may be in the hands of a socket a moment longer, and then nobody takes it out.
            #expect(file.residentPages() <= (3 << 20) / 4096)
            // The window that is sent, the one that is loaded, what lies between and what is being let go of: 8 MiB, and more
            // where the helper that lets go has to wait for a processor. Without letting go it would be the whole file.
            #expect(most <= (16 << 20) / 4096, "\(most) pages at once")
        }
    }

    @Test("For a reader that is faster than the disk the kernel reads ahead, and all of that is let go of, too")
    func streamedFile() throws {
        try withTestFile(count: 24 << 20) { file in
            for end in [24 << 20, 16 << 20, (20 << 20) + 5] {
                try require(file.evict(), orSkip: "the temporary folder's file system keeps its files in memory")
                var driver = try Driver(.sendfile)
                defer { driver.pool.stop() }
                var limits = TransferLimits()
                limits.firstWindow = limits.greatestWindow
                var transfer = FileTransfer(
                    descriptor: file.descriptor, start: 0, end: UInt64(end), ticket: 3, limits: limits)
                let connection = driver.connection
                #expect(try driver.run(&transfer, limit: 1 << 20) { _ in connection.receive() } == .finished)
                connection.receive(until: end)
                #expect(connection.received == TestFile.bytes(0..<end))
                try driver.finish(&transfer)
                // What the kernel was still reading when it was asked to let go of it may stay, and what went last may be in the
                // hands of a socket. Without letting go it would be all of it.
                #expect(file.residentPages() <= (3 << 20) / 4096, "\(end): \(file.residentPages())")
            }
        }
    }

    @Test("What others keep in memory stays there")
    func warmFile() throws {
        try withTestFile(count: 8 << 20) { file in
            _ = try readFile(file.path)
            let before = file.residentPages()
            var driver = try Driver(.sendfile)
            defer { driver.pool.stop() }
            var transfer = FileTransfer(descriptor: file.descriptor, start: 0, end: 8 << 20, ticket: 0)
            #expect(try driver.run(&transfer) == .finished)
            driver.connection.receive(until: 8 << 20)
            try driver.finish(&transfer)
            #expect(before == (8 << 20) / 4096)
            #expect(file.residentPages() == before)
            #expect(driver.pool.figures.loads == 0)
            #expect(!driver.outcomes.contains(.loading))
        }
    }

    @Test("A file that is cut while a helper reads it ends the transfer")
    func shrinkingColdFile() throws {
        try withTestFile(count: 16 << 20) { file in
            try require(file.evict(), orSkip: "the temporary folder's file system keeps its files in memory")
            var driver = try Driver(.sendfile)
            defer { driver.pool.stop() }
            var transfer = FileTransfer(descriptor: file.descriptor, start: 0, end: 16 << 20, ticket: 0)
            let outcome = try driver.run(&transfer) { transfer in
                if transfer.position > 0 { _ = ftruncate(file.descriptor, 5_000_000) }
            }
            #expect(outcome == .shrunk)
            #expect(transfer.position == 5_000_000)
            try driver.finish(&transfer)
        }
    }

    @Test("The pool grows with work and shrinks without, within its limits")
    func poolSize() throws {
        try withTestFile(count: 4 << 20) { file in
            for threads in [1, 3] {
                try require(file.evict(), orSkip: "the temporary folder's file system keeps its files in memory")
                var limits = HelperPool.Limits()
                limits.threads = threads
                limits.idleMilliseconds = 10
                var driver = try Driver(.sendfile, limits: limits)
                defer { driver.pool.stop() }
                var transfer = FileTransfer(descriptor: file.descriptor, start: 0, end: 4 << 20, ticket: 0)
                #expect(try driver.run(&transfer) == .finished)
                driver.connection.receive(until: 4 << 20)
                try driver.finish(&transfer)
                let peak = driver.pool.figures.threadsPeak
                #expect(threads == 1 ? peak == 1 : (2...3).contains(peak))
                let deadline = ContinuousClock.now + .seconds(20)
                while driver.pool.figures.threads > 1, ContinuousClock.now < deadline { usleep(1000) }
                #expect(driver.pool.figures.threads == 1)
            }
        }
    }

    @Test("Without helpers the caller waits for the disk itself")
    func withoutHelpers() throws {
        try withTestFile(count: 3 << 20) { file in
            _ = file.evict()
            let connection = try Connection()
            let tools = try SendingTools(helpers: nil)
            var transfer = FileTransfer(descriptor: file.descriptor, start: 0, end: 3 << 20, ticket: 0)
            var outcome = SendOutcome.progressed
            while outcome == .progressed || outcome == .blocked {
                outcome = transfer.send(to: connection.sender, limit: 1 << 20, now: Clock.monotonic(), tools: tools)
                connection.receive()
            }
            #expect(outcome == .finished)
            connection.receive(until: 3 << 20)
            #expect(connection.received == TestFile.bytes(0..<(3 << 20)))
        }
    }
}
