import Glibc
import Machine
import Sending
import Testing

/// Plays an event loop of one transfer and its reader in one thread.
struct Driver {
    let pool: HelperPool
    let client: HelperClient
    let tools: SendingTools
    let connection: Connection
    var outcomes: [SendOutcome] = []

    init(_ method: SendMethod, limits: HelperPool.Limits = HelperPool.Limits()) throws {
        pool = try HelperPool(limits)
        let wake = try WakeSignal()
        client = pool.makeClient(wake: wake, capacity: 64)
        tools = try SendingTools(method: method, helpers: client)
        connection = try Connection()
    }

    /// Sends to the end of the range, or to where it cannot go on; what happens at every step is up to `step`.
    mutating func run(
        _ transfer: inout FileTransfer, limit: UInt64 = 300_000, step: (inout FileTransfer) throws -> Void = { _ in }
    ) throws -> SendOutcome {
        let deadline = ContinuousClock.now + .seconds(60)
        var pipeSignal = sigset_t()
        _ = unsafe sigemptyset(&pipeSignal)
        _ = unsafe sigaddset(&pipeSignal, SIGPIPE)
        _ = unsafe pthread_sigmask(SIG_BLOCK, &pipeSignal, nil)
        tools.adopt(transfer.descriptor)
        while true {
            let outcome = transfer.send(
                to: connection.sender, limit: limit, now: Clock.monotonic(), tools: tools)
            if outcomes.last != outcome { outcomes.append(outcome) }
            try step(&transfer)
            switch outcome {
            case .progressed: break
            case .blocked: connection.receive()
            case .loading: usleep(100)
            case .finished, .shrunk, .failed: return outcome
            }
            takeResults(&transfer)
            try #require(ContinuousClock.now < deadline, "the transfer does not come to an end")
        }
    }

    func takeResults(_ transfer: inout FileTransfer) {
        while let result = client.nextResult() {
            #expect(result.ticket == transfer.ticket)
            transfer.take(result)
        }
    }

    /// Ends the transfer and waits for its last jobs.
    func finish(_ transfer: inout FileTransfer) throws {
        transfer.finish(tools: tools)
        let deadline = ContinuousClock.now + .seconds(60)
        while transfer.isBusy {
            takeResults(&transfer)
            usleep(100)
            try #require(ContinuousClock.now < deadline, "jobs do not come back")
        }
    }
}
