import CAllocationCounter
import Glibc
import Machine
import Relay

/// Relays packets from a pipe to a reader on loopback, and prints what the data plane's threads allocated while a
/// million packets went through in the middle of the run.
///
/// Lines are `THREAD BEFORE AFTER`. Arguments: CPU of capture, CPU of worker.
@main
enum Probe {
    static let warmUp = 200_000
    static let measured = 1_000_000

    static func main() {
        var ends: [Int32] = [0, 0]
        guard unsafe pipe(&ends) == 0, let reader = try? Reader() else { exit(71) }
        let input = ends[0]
        let arguments = CommandLine.arguments
        let port = reader.port
        let relay = Thread {
            var options = RelayOptions()
            options.inputs = [.file("/dev/fd/\(input)")]
            options.destinations = [.init(address: HostPort(host: "127.0.0.1", port: port), name: "probe")]
            options.captureCPUs = CPUSet(parsing: arguments[1])
            options.workerCPUs = CPUSet(parsing: arguments[2])
            options.memory = 64 << 20
            do throws(RelayError) {
                let report = try Relay.run(options, console: RelayConsole(log: { _ in }, progress: nil))
                exit(report.exit.rawValue)
            } catch {
                print(error)
                exit(error.code.rawValue)
            }
        }
        relay.start()
        reader.start()
        feed(ends[1])
    }

    private static func feed(_ pipe: Int32) {
        write(pipe, fileHeader)
        send(pipe, packets: warmUp)
        settle()
        let names = ["capture-0", "worker-0", "egress"]
        let before = names.map { unsafe spillway_allocations_of($0) }
        send(pipe, packets: measured)
        settle()
        for (name, first) in zip(names, before) { print(name, first, unsafe spillway_allocations_of(name)) }
        fflush(nil)
        close(pipe)
        while true { sleep(1) }
    }

    /// Long enough for everything written to have been relayed, idle flushes and acknowledgements included.
    private static func settle() { usleep(500_000) }

    private static var fileHeader: [UInt8] {
        [0xD4, 0xC3, 0xB2, 0xA1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0]
    }

    private static func send(_ pipe: Int32, packets: Int) {
        let packet: [UInt8] = [1, 0, 0, 0, 0, 0, 0, 0, 64, 0, 0, 0, 64, 0, 0, 0] + [UInt8](repeating: 7, count: 64)
        let burst = [[UInt8]](repeating: packet, count: 1000).flatMap(\.self)
        for _ in 0..<packets / 1000 { write(pipe, burst) }
    }

    private static func write(_ pipe: Int32, _ bytes: [UInt8]) {
        var sent = 0
        while sent < bytes.count {
            let count = unsafe bytes.withUnsafeBytes {
                unsafe Glibc.write(pipe, $0.baseAddress! + sent, $0.count - sent)
            }
            guard count > 0 else { exit(74) }
            sent += count
        }
    }
}

/// A thread that runs once.
struct Thread {
    let body: @Sendable () -> Void

    func start() {
        do throws(SystemError) { _ = try PinnedThread(name: "probe", cpus: nil, body: body) } catch { exit(71) }
    }
}

/// Accepts one connection on loopback and throws away what comes.
struct Reader: Sendable {
    let port: UInt16
    private let socket: Int32

    init() throws {
        let (socket, local) = try Listening.open(Endpoint(address: "127.0.0.1", port: 0)!, backlog: 1)
        (self.socket, port) = (socket, local.port)
    }

    func start() {
        let socket = socket
        Thread {
            var waiting = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
            _ = unsafe poll(&waiting, 1, -1)
            let connection = accept(socket, nil, nil)
            var buffer = [UInt8](repeating: 0, count: 1 << 16)
            while unsafe read(connection, &buffer, buffer.count) > 0 {}
        }.start()
    }
}
