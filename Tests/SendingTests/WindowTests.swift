import Glibc
import Machine
import Sending
import TestSupport
import Testing

@Suite("Windows of files", .serialized)
struct WindowTests {
    @Test("Pieces of a cold window go in any order, and the window is let go of")
    func reverseOrder() throws {
        try withTestFile(count: 1 << 20) { file in
            try require(file.evict(), orSkip: "the temporary folder's file system keeps its files in memory")
            let driver = try Driver(.sendfile)
            defer { driver.pool.stop() }
            let connection = driver.connection
            var window = FileWindow(descriptor: file.descriptor, start: 0, end: 1 << 20, ticket: 9)
            driver.tools.adopt(file.descriptor)
            let atOnce = window.prepare(now: Clock.monotonic(), tools: driver.tools)
            try takeAll(driver, &window)
            let afterwards = window.prepare(now: Clock.monotonic(), tools: driver.tools)
            #expect(!atOnce && afterwards)
            #expect(file.residentPages() == 256)
            var expected: [UInt8] = []
            for piece in (0..<16).reversed() {
                let range = piece << 16..<(piece + 1) << 16
                expected += TestFile.bytes(range)
                var transfer = FileTransfer(
                    descriptor: file.descriptor, start: UInt64(range.lowerBound), end: UInt64(range.upperBound),
                    ticket: 1,
                    residentSince: window.readySince)
                var outcome = SendOutcome.blocked
                while outcome == .blocked || outcome == .progressed {
                    outcome = transfer.send(
                        to: connection.sender, limit: 1 << 20, now: window.readySince, tools: driver.tools)
                    connection.receive()
                }
                #expect(outcome == .finished)
            }
            connection.receive(until: 1 << 20)
            #expect(connection.received == expected)
            window.release(tools: driver.tools)
            try takeAll(driver, &window)
            #expect(file.residentPages() == 0)
            #expect(driver.pool.figures.loads == 1)
        }
    }

    @Test("A window that others keep in memory is ready at once and stays")
    func warm() throws {
        try withTestFile(count: 1 << 20) { file in
            let driver = try Driver(.sendfile)
            defer { driver.pool.stop() }
            var window = FileWindow(descriptor: file.descriptor, start: 4096, end: 1 << 20, ticket: 9)
            let isReady = window.prepare(now: Clock.monotonic(), tools: driver.tools)
            #expect(isReady)
            window.release(tools: driver.tools)
            #expect(!window.isBusy)
            #expect(file.residentPages() == 256)
        }
    }

    private func takeAll(_ driver: Driver, _ window: inout FileWindow) throws {
        let deadline = ContinuousClock.now + .seconds(60)
        while window.isBusy {
            while let result = driver.client.nextResult() {
                #expect(result.ticket == 9)
                window.take(result, now: Clock.monotonic())
            }
            usleep(100)
            try #require(ContinuousClock.now < deadline, "jobs do not come back")
        }
    }
}
