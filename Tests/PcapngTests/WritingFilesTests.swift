import Machine
import Pcapng
import Synchronization
import TestSupport
import Testing

/// Files made of our blocks, before the eyes of the programs people use.
@Suite("Written files, read by others", .timeLimit(.minutes(5)))
struct WritingFilesTests {
    /// A file as docs/format.md describes it: two interfaces, batches of several sizes, a late interface, statistics.
    private func makeFile() -> (bytes: [UInt8], packets: [SamplePacket]) {
        let run = RunIdentity.random()
        var file = StreamBlocks.sectionHeader(hardware: "h", system: "s", application: "the tests")
        var interfaces: [UInt8] = []
        func interface(_ name: String) {
            let block = StreamBlocks.interface(InterfaceLabel(linkType: 1, name: name))
            interfaces += block
            file += block
        }
        interface("first")
        interface("second")
        file += StreamBlocks.lane(0, kind: .live, run: run, destination: "")
        var packets: [SamplePacket] = []
        let lengths = Array(0...70) + [1500, 262_144, 65_535, 9000]
        for (number, group) in stride(from: 0, to: lengths.count, by: 9).enumerated() {
            if number == 4 { interface("third") }
            var batch: [UInt8] = []
            let known = number >= 4 ? 3 : 2
            for place in group..<min(group + 9, lengths.count) {
                let packet = SamplePacket(
                    time: 1_700_000_000_000_000_000 + UInt64(place) * 1_000_000_007,
                    original: UInt32(lengths[place] + place % 2), interface: UInt32(place % known),
                    bytes: sampleBytes(lengths[place], seed: place))
                batch += record(packet)
                packets.append(packet)
            }
            var trailer = BatchTrailer(run: run)
            (trailer.number, trailer.packets) = (UInt64(number), UInt32(min(9, lengths.count - group)))
            (trailer.recordBytes, trailer.interfaceCRC) = (UInt32(batch.count), referenceCRC32C(interfaces))
            trailer.leastTime = packets[group].time
            trailer.greatestTime = packets[packets.count - 1].time
            let records = batch.count
            batch += [UInt8](repeating: 0, count: 96)
            unsafe batch.withUnsafeMutableBytes { unsafe trailer.write(to: $0.baseAddress! + records) }
            file += batch
        }
        for number in 0..<3 {
            var counts = StreamBlocks.Statistics()
            counts.received = 100 + UInt64(number)
            let time: UInt64 = 1_700_000_100_000_000_000
            file += StreamBlocks.statistics(interface: UInt32(number), time: time, start: 1, counts)
        }
        return (file, packets)
    }

    private func record(_ packet: SamplePacket) -> [UInt8] {
        var memory = [UInt8](repeating: 0, count: packet.bytes.count + 40)
        let count = unsafe memory.withUnsafeMutableBytes { target in
            unsafe packet.bytes.withUnsafeBytes { source in
                unsafe Record.write(
                    to: target.baseAddress!, time: packet.time, interface: packet.interface,
                    bytes: source.baseAddress ?? UnsafeRawPointer(target.baseAddress!),
                    captured: UInt32(packet.bytes.count), original: packet.original)
            }
        }
        return Array(memory[..<count])
    }

    /// Runs `body` with the file's path and what is in it.
    private func withFile(_ body: (String, [SamplePacket]) throws -> Void) throws {
        let (bytes, packets) = makeFile()
        try withTemporaryDirectory { folder in
            try writeFile("\(folder)/file", bytes)
            try body("\(folder)/file", packets)
        }
    }

    @Test("The parser of the tests agrees")
    func parser() throws {
        let (bytes, packets) = makeFile()
        let stream = try ParsedStream(bytes)
        #expect(stream.rest == 0)
        #expect(stream.packets == packets)
        #expect(stream.interfaces.map(\.name) == ["first", "second", "third"])
        #expect(stream.statistics == [0, 1, 2])
    }

    @Test("tshark: the packets, times, lengths and interfaces, and no row or word more")
    func tshark() throws {
        try requireTool("tshark")
        try withFile { path, packets in
            #expect(try tsharkPackets(path, interfacesPerSection: [3]) == packets)
            let result = try run("tshark", ["-n", "-r", path, "-T", "fields", "-e", "frame.interface_name"]).checked()
            #expect(result.outputLines == packets.map { ["first", "second", "third"][Int($0.interface)] })
            // Complaints of the reader are lines of its own; that root should not run it is none.
            #expect(!result.errorText.contains("file"), "\(result.errorText)")
        }
    }

    @Test("tcpdump: as many packets, with their times, without a complaint")
    func tcpdump() throws {
        try requireTool("tcpdump")
        try withFile { path, packets in
            let result = try run("tcpdump", ["-n", "-tt", "-q", "--nano", "-r", path]).checked()
            #expect(!result.errorText.contains("unknown") && !result.errorText.contains("damaged"))
            let stamps = result.outputLines.compactMap { $0.split(separator: " ").first.map(String.init) }
                .filter { $0.wholeMatch(of: /[0-9]+\.[0-9]{9}/) != nil }
            // A packet without bytes has a line without a time.
            #expect(
                stamps
                    == packets.filter { !$0.bytes.isEmpty }.map {
                        "\($0.time / 1_000_000_000).\(nine($0.time % 1_000_000_000))"
                    })
            let count = try run("tcpdump", ["--count", "-r", path]).checked().outputLines
            #expect(count == ["\(packets.count) packets"])
        }
    }

    private func nine(_ number: UInt64) -> String {
        let digits = String(number)
        return String(repeating: "0", count: 9 - digits.count) + digits
    }

    @Test("capinfos: count, bytes, interfaces and resolution")
    func capinfos() throws {
        try requireTool("capinfos")
        try withFile { path, packets in
            let result = try run("capinfos", ["-M", "-c", "-d", "-I", path]).checked()
            let lines = result.outputLines.map { $0.split(separator: " ").joined(separator: " ") }
            #expect(lines.contains("Number of packets: \(packets.count)"))
            #expect(lines.contains("Data size: \(packets.reduce(0) { $0 + Int($1.original) }) bytes"))
            #expect(lines.contains("Number of interfaces in file: 3"))
            #expect(lines.count { $0 == "Time precision = nanoseconds (9)" } == 3)
            #expect(lines.count { $0 == "Capture length = 262144" } == 3)
            #expect(result.errors.isEmpty)
        }
    }

    @Test("mergecap and editcap rewrite it without losing a packet")
    func rewritten() throws {
        try requireTool("editcap")
        try requireTool("tshark")
        try withFile { path, packets in
            try run("editcap", [path, "\(path)2"]).checked()
            #expect(try tsharkPackets("\(path)2", interfacesPerSection: [3]) == packets)
        }
    }

    // ---- interfaces ----------------------------------------------------------------------------------------------

    @Test("The table of interfaces: ids in order, the same block the same id, checksums, and its limits")
    func registry() throws {
        let registry = try InterfaceRegistry()
        let view = registry.view
        #expect(view.count == 0)
        #expect(view.checksum(first: 0) == 0)
        #expect(unsafe view.descriptions(from: 0, to: 0).isEmpty)
        var all: [UInt8] = []
        for number in 0..<InterfaceRegistry.capacity {
            let block = StreamBlocks.interface(InterfaceLabel(linkType: 1, name: "eth\(number)"))
            #expect(registry.register(block) == UInt32(number))
            if number % 500 == 0 {
                #expect(registry.register(block) == UInt32(number))
                #expect(unsafe Array(view.descriptions(from: number, to: number + 1)) == block)
            }
            all += block
            if number % 500 == 0 { #expect(view.checksum(first: number + 1) == referenceCRC32C(all)) }
        }
        #expect(view.count == InterfaceRegistry.capacity)
        #expect(unsafe Array(view.descriptions(from: 0, to: view.count)) == all)
        #expect(unsafe view.descriptions(from: 5, to: view.count + 1).isEmpty)
        #expect(registry.register(StreamBlocks.interface(InterfaceLabel(linkType: 1, name: "more"))) == nil)
        #expect(registry.register(StreamBlocks.interface(InterfaceLabel(linkType: 1, name: "eth7"))) == 7)
        let large = try InterfaceRegistry()
        var registered = 0
        let long = String(repeating: "x", count: 60_000)
        func next() -> [UInt8] { StreamBlocks.interface(InterfaceLabel(linkType: 1, name: "\(registered)" + long)) }
        while let id = large.register(next()) {
            #expect(id == UInt32(registered))
            registered += 1
        }
        #expect(registered == InterfaceRegistry.byteCapacity / 60_036)
    }

    @Test("Interfaces appear whole to readers on other threads")
    func concurrentRegistry() throws {
        let registry = try InterfaceRegistry()
        let view = registry.view
        let blocks = (0..<600).map { StreamBlocks.interface(InterfaceLabel(linkType: 1, name: "interface \($0)")) }
        var threads: [Joined] = []
        for half in 0..<2 {
            // Both register the same ones, from different ends.
            let mine = half == 0 ? blocks : blocks.reversed()
            let thread = try PinnedThread(name: "register", cpus: nil) {
                for block in mine { _ = registry.register(block) }
            }
            threads.append(Joined(thread))
        }
        var seen = 0
        let deadline = ContinuousClock.now + .seconds(30)
        while seen < blocks.count, ContinuousClock.now < deadline {
            let count = view.count
            guard count > seen else { continue }
            let bytes = unsafe Array(view.descriptions(from: 0, to: count))
            #expect(view.checksum(first: count) == referenceCRC32C(bytes))
            seen = count
        }
        for thread in threads { thread.join() }
        #expect(view.count == blocks.count)
        let found = Set((0..<view.count).map { unsafe Array(view.descriptions(from: $0, to: $0 + 1)) })
        #expect(found == Set(blocks))
    }

    private final class Joined {
        private var thread: PinnedThread?
        init(_ thread: consuming PinnedThread) { self.thread = consume thread }
        func join() { if let thread = thread.take() { thread.join() } }
    }
}
