import Capture
import Glibc
import Machine
import Pcapng
import Synchronization
import TestSupport
import Testing

/// Signals that the test of interrupted reads has caught.
private let interruptions = Atomic<Int>(0)

/// All that a capture file gives.
struct CaptureOutcome: Equatable {
    var packets: [SamplePacket] = []
    var interfaces: [InterfaceDescription] = []
    var error: CaptureFileError?
    var consumed: UInt64 = 0
}

/// Reads an open file to its end or damage, and copies everything.
func readAll(_ file: inout CaptureFile) throws -> CaptureOutcome {
    var outcome = CaptureOutcome()
    while true {
        switch file.next() {
        case .packet:
            let (header, bytes) = (file.packet, unsafe [UInt8](file.packetBytes))
            outcome.packets.append(
                SamplePacket(
                    time: header.time, original: header.original, interface: header.interface, bytes: bytes))
        case .interface: outcome.interfaces.append(file.takeInterface())
        case .refill: try file.refill()
        case .damaged, .end:
            outcome.error = file.error
            outcome.consumed = file.consumedBytes
            return outcome
        }
    }
}

func readAll(path: String) throws -> CaptureOutcome {
    var file = try CaptureFile(path: path)
    return try readAll(&file)
}

@Suite("Capture files from disk and pipes", .serialized)
struct CaptureFileTests {
    @Test("Every kind is read from a file, with its size for progress", arguments: CaptureKinds.all)
    func everyKind(_ sample: BuiltCapture) throws {
        try withTemporaryDirectory { folder in
            let path = "\(folder)/capture"
            try writeFile(path, sample.bytes)
            var file = try CaptureFile(path: path)
            #expect(file.totalBytes == UInt64(sample.bytes.count))
            #expect(file.path == path)
            let outcome = try readAll(&file)
            #expect(outcome.packets == sample.packets)
            #expect(outcome.error == nil)
            #expect(outcome.consumed == UInt64(sample.bytes.count))
        }
    }

    /// Packets of all sizes up to the greatest, many times the buffer in all.
    private func largeCapture() -> BuiltCapture {
        var file = PcapngBuilder()
        file.section(.little)
        file.interface(snapLength: 0, resolution: 9)
        for index in 0..<160 {
            let count = index % 10 == 9 ? 262_144 : index * 997 % 20_000
            file.enhanced(0, units: UInt64(index), sampleBytes(count, seed: index))
        }
        file.other(99, sampleBytes(3_000_000, seed: 1))
        file.enhanced(0, units: 1000, sampleBytes(600_000, seed: 2), cutTo: 262_144)
        file.enhanced(0, units: 1001, sampleBytes(100, seed: 3))
        return file.built("")
    }

    @Test("A file many times the size of the buffer is read, the largest packets included")
    func largeFile() throws {
        let sample = largeCapture()
        #expect(sample.bytes.count > 4 * CaptureFile.bufferBytes)
        try withTemporaryDirectory { folder in
            try writeFile("\(folder)/capture", sample.bytes)
            var file = try CaptureFile(path: "\(folder)/capture")
            let outcome = try readAll(&file)
            #expect(outcome.packets == sample.packets)
            #expect(outcome.error == nil)
            #expect(file.cutPackets == 1)
        }
    }

    @Test("A pipe that gives few bytes at a time gives the same")
    func pipe() throws {
        let sample = largeCapture()
        try withTemporaryDirectory { folder in
            try writeFile("\(folder)/capture", sample.bytes)
            #expect(unsafe mkfifo("\(folder)/pipe", 0o600) == 0)
            let command = "head -c 1000 \(folder)/capture | dd bs=1 2>/dev/null; tail -c +1001 \(folder)/capture"
            try withChild("sh", ["-c", "(\(command)) | dd ibs=4999 obs=4999 > \(folder)/pipe"]) { child in
                var file = try CaptureFile(path: "\(folder)/pipe")
                #expect(file.totalBytes == nil)
                let outcome = try readAll(&file)
                #expect(outcome.packets == sample.packets)
                #expect(outcome.error == nil)
                try child.wait().checked()
            }
        }
    }

    @Test("poll(2) on the descriptor tells when a refill will not block")
    func pollable() throws {
        let sample = CaptureKinds.pcapng[0]
        try withTemporaryDirectory { folder in
            let path = "\(folder)/pipe"
            #expect(unsafe mkfifo(path, 0o600) == 0)
            // Open for reading and writing, a pipe needs no other process.
            let writer = unsafe open(path, O_RDWR | O_CLOEXEC)
            try #require(writer >= 0)
            var file = try CaptureFile(path: path)
            func readable() -> Bool {
                var entry = pollfd(fd: file.descriptor, events: Int16(POLLIN), revents: 0)
                return unsafe poll(&entry, 1, 0) == 1
            }
            #expect(!readable())
            let event = file.next()
            #expect(event == .refill)
            _ = unsafe sample.bytes.withUnsafeBytes { unsafe write(writer, $0.baseAddress, $0.count) }
            #expect(readable())
            try file.refill()
            #expect(!readable())
            var packets = 0
            while true {
                let event = file.next()
                if case .refill = event { break }
                if case .interface = event { _ = file.takeInterface() }
                if case .packet = event { packets += 1 }
            }
            #expect(packets == sample.packets.count)
            close(writer)
            try file.refill()
            let last = file.next()
            #expect(last == .end)
        }
    }

    @Test("A minus sign means standard input, which stays open")
    func standardInput() throws {
        let sample = CaptureKinds.classic[0]
        try withTemporaryDirectory { folder in
            try writeFile("\(folder)/capture", sample.bytes)
            let replacement = unsafe open("\(folder)/capture", O_RDONLY)
            let former = dup(STDIN_FILENO)
            dup2(replacement, STDIN_FILENO)
            defer {
                dup2(former, STDIN_FILENO)
                close(former)
                close(replacement)
            }
            #expect(try readAll(path: "-").packets == sample.packets)
            #expect(fcntl(STDIN_FILENO, F_GETFD) >= 0)
        }
    }

    @Test("The descriptor of a file is closed in the end")
    func closed() throws {
        try withTemporaryDirectory { folder in
            try writeFile("\(folder)/capture", CaptureKinds.classic[0].bytes)
            var descriptor: Int32 = -1
            do {
                let file = try CaptureFile(path: "\(folder)/capture")
                descriptor = file.descriptor
                let target = try run("readlink", ["/proc/\(getpid())/fd/\(descriptor)"]).checked().outputText
                #expect(target == "\(folder)/capture\n")
            }
            let target = try run("readlink", ["/proc/\(getpid())/fd/\(descriptor)"]).outputText
            #expect(target != "\(folder)/capture\n")
        }
    }

    @Test("Damage names the path and the offset, after all packets before it")
    func damage() throws {
        let sample = CaptureKinds.classic[0]
        try withTemporaryDirectory { folder in
            let path = "\(folder)/torn"
            try writeFile(path, sample.bytes.dropLast())
            let outcome = try readAll(path: path)
            #expect(outcome.packets == sample.packets.dropLast())
            let start = sample.boundary(before: sample.bytes.count - 1)
            #expect(outcome.error?.description.contains(path) == true)
            #expect(outcome.error?.description.contains("offset \(start):") == true)
            guard case .damaged(path, let damage) = outcome.error else {
                Issue.record("not damage: \(String(describing: outcome.error))")
                return
            }
            #expect(damage.reason == .truncatedRecord)
            #expect(damage.offset == UInt64(start))
        }
    }

    @Test("A file that is not there, a directory and a file that cannot be read are told apart")
    func errors() throws {
        func code(_ path: String) -> Int32? {
            do {
                _ = try readAll(path: path)
                return nil
            } catch CaptureFileError.cannotOpen(let error) {
                #expect(error.description.contains(path))
                return error.code
            } catch CaptureFileError.cannotRead(let error, let offset) {
                #expect(error.description.contains(path))
                #expect(offset == 0)
                return -error.code
            } catch {
                Issue.record(error)
                return nil
            }
        }
        withTemporaryDirectory { folder in
            #expect(code("\(folder)/missing") == ENOENT)
            #expect(code(folder) == EISDIR)
            // There is no memory at address 0 of a process.
            #expect(code("/proc/self/mem") == -EIO)
        }
    }

    @Test("Signals while a pipe is opened and read do no harm")
    func interrupted() throws {
        let sample = CaptureKinds.classic[0]
        // Without SA_RESTART the kernel ends a blocked call with EINTR.
        var action = sigaction()
        unsafe action.__sigaction_handler.sa_handler = { _ in interruptions.add(1, ordering: .relaxed) }
        var former = sigaction()
        interruptions.store(0, ordering: .relaxed)
        unsafe sigaction(SIGUSR2, &action, &former)
        // The threads that run tests have all signals blocked.
        var signals = sigset_t()
        unsafe sigemptyset(&signals)
        unsafe sigaddset(&signals, SIGUSR2)
        unsafe pthread_sigmask(SIG_UNBLOCK, &signals, nil)
        defer {
            unsafe pthread_sigmask(SIG_BLOCK, &signals, nil)
            unsafe sigaction(SIGUSR2, &former, nil)
        }
        try withTemporaryDirectory { folder in
            let path = "\(folder)/pipe"
            #expect(unsafe mkfifo(path, 0o600) == 0)
            try writeFile("\(folder)/capture", sample.bytes)
            let script = "sleep 0.2; exec 3> \(path); sleep 0.3; cat \(folder)/capture >&3"
            try withChild("sh", ["-c", script]) { child in
                let target = UnsafeMutablePointer<pthread_t>.allocate(capacity: 1)
                unsafe target.initialize(to: pthread_self())
                var sender = pthread_t()
                unsafe pthread_create(
                    &sender, nil,
                    { argument in
                        let target = unsafe argument!.load(as: pthread_t.self)
                        for _ in 0..<100 {
                            pthread_kill(target, SIGUSR2)
                            usleep(4000)
                        }
                        return nil
                    }, target)
                defer {
                    pthread_join(sender, nil)
                    unsafe target.deallocate()
                }
                #expect(try readAll(path: path).packets == sample.packets)
                try child.wait().checked()
            }
        }
        #expect(interruptions.load(ordering: .relaxed) > 0)
    }

    @Test("Real captures give what tshark finds in them")
    func realCaptures() throws {
        let folder = try requireEnvironment("SPILLWAY_CAPTURES")
        try requireTool("tshark")
        for name in try directoryEntries(folder) where name.contains(".pcap") {
            let outcome = try readAll(path: "\(folder)/\(name)")
            let found = try tsharkPackets(
                "\(folder)/\(name)", interfacesPerSection: [outcome.interfaces.count])
            #expect(outcome.error == nil, "\(name)")
            #expect(outcome.packets == found, "\(name)")
        }
    }
}
