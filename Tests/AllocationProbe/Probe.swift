import CAllocationCounter
import Glibc
import Machine
import Relay
import Synchronization

/// Relays packets to a reader on loopback, and prints what the data plane's threads allocated while a million packets
/// went through in the middle of the run.
///
/// Lines are `THREAD BEFORE AFTER`, and one `bytes N` with what the reader got meanwhile. Arguments: CPU of capture, CPU of
/// worker (or `share DIRECTORY`, see `Sharing`); without more the packets come through a pipe, otherwise over a wire: the interface to send from and the one to
/// capture from through AF_XDP.
@main
enum Probe {
    static let warmUp = 200_000
    static let measured = 1_000_000
    /// Set once packets arrive.
    static let ready = StopFlag()

    static func main() {
        let arguments = CommandLine.arguments
        if arguments[1] == "share" { Sharing.run(arguments[2]) }
        var ends: [Int32] = [0, 0]
        guard unsafe pipe(&ends) == 0, let reader = try? Reader() else { exit(71) }
        var options = RelayOptions()
        options.inputs = [.file("/dev/fd/\(ends[0])")]
        options.memory = 64 << 20
        let isWire = arguments.count > 4
        if isWire {
            options.inputs = [.interface(arguments[4])]
            options.capture = .native
            options.memory = 256 << 20
        }
        options.destinations = [.init(address: HostPort(host: "127.0.0.1", port: reader.port), name: "probe")]
        // With metrics the delivering thread says how old things are.
        options.metrics = HostPort(host: "127.0.0.1", port: 0)
        options.captureCPUs = CPUSet(parsing: arguments[1])
        options.workerCPUs = CPUSet(parsing: arguments[2])
        run(options)
        reader.start()
        if isWire {
            while !ready.isSet { usleep(10_000) }
            guard let wire = Wire(arguments[3]) else { exit(71) }
            feed(reader) { wire.send($0) }
        } else {
            let input = ends[1]
            write(input, fileHeader)
            feed(reader) { send(input, packets: $0) }
        }
        // The run is over without a word: what was to be known is known.
        exit(0)
    }

    private static func run(_ options: RelayOptions) {
        let console = RelayConsole(log: { if $0.hasSuffix(" arrive") { ready.set() } }, progress: nil)
        Thread {
            do throws(RelayError) {
                let report = try Relay.run(options, console: console)
                exit(report.exit.rawValue)
            } catch {
                print(error)
                exit(error.code.rawValue)
            }
        }.start()
    }

    private static func feed(_ reader: Reader, send: (Int) -> Void) {
        send(warmUp)
        settle()
        let names = ["capture-0", "worker-0", "egress"]
        let before = names.map { unsafe spillway_allocations_of($0) }
        let bytes = reader.bytes
        send(measured)
        settle()
        for (name, first) in zip(names, before) { print(name, first, unsafe spillway_allocations_of(name)) }
        print("bytes", reader.bytes - bytes)
        fflush(nil)
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
final class Reader: Sendable {
    let port: UInt16
    private let socket: Int32
    private let received = Atomic(0)

    /// What has come so far.
    var bytes: Int { received.load(ordering: .acquiring) }

    init() throws {
        let (socket, local) = try Listening.open(Endpoint(address: "127.0.0.1", port: 0)!, backlog: 1)
        (self.socket, port) = (socket, local.port)
    }

    func start() {
        Thread { [self] in
            var waiting = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
            _ = unsafe poll(&waiting, 1, -1)
            let connection = accept(socket, nil, nil)
            var buffer = [UInt8](repeating: 0, count: 1 << 16)
            while true {
                let count = unsafe read(connection, &buffer, buffer.count)
                if count <= 0 { return }
                received.add(count, ordering: .releasing)
            }
        }.start()
    }
}
