import Glibc
import TestSupport
import Testing

@Suite("H and I: clusters", .timeLimit(.minutes(5)))
struct ClusterTests {
    /// Frames of many flows in both directions: IPv4 and IPv6, VLAN stacks, fragments in any order, and no IP at all.
    private static func frames(_ count: Int, flows: Int = 200) -> [[UInt8]] {
        var random = Generator(state: 7)
        var result: [[UInt8]] = []
        while result.count < count {
            let flow = Int(random.next() % UInt64(flows))
            let tags = (0..<flow % 4).map { (type: $0 == 0 ? 0x88A8 : 0x8100, control: UInt16(100 + flow % 5 + $0)) }
                .map { (type: UInt16($0.type), control: $0.control) }
            let isForth = random.next() % 2 == 0
            let ends: ([UInt8], UInt16) = ([10, 1, UInt8(flow % 7), UInt8(flow)], UInt16(1000 + flow * 13))
            let others: ([UInt8], UInt16) = ([10, 1, UInt8(flow % 3), 200], 53)
            let (from, to) = isForth ? (ends, others) : (others, ends)
            let payload = sampleBytes(Int(random.next() % 600) + 40, seed: result.count)
            let udp = PacketBuilder.udp(payload, from: from.1, to: to.1)
            let identification = UInt16(truncatingIfNeeded: result.count)
            var pieces: [[UInt8]] = []
            switch flow % 5 {
            case 0:
                let arp = [UInt8](repeating: UInt8(flow), count: 28)
                let (one, two): ([UInt8], [UInt8]) = ([2, 0, 0, 0, 1, UInt8(flow)], [2, 0, 0, 0, 2, UInt8(flow)])
                result.append(
                    PacketBuilder.ethernet(
                        arp, type: 0x0806, tags: tags, to: isForth ? one : two, from: isForth ? two : one))
                continue
            case 1, 2:
                let cut = flow % 10 < 5 ? 16 : udp.count
                for start in stride(from: 0, to: udp.count, by: max(cut, 16)) {
                    let part = Array(udp[start..<min(udp.count, start + max(cut, 16))])
                    let more: UInt16 = start + part.count < udp.count ? 0x2000 : 0
                    pieces.append(
                        PacketBuilder.ethernet(
                            PacketBuilder.ipv4(
                                part, protocolNumber: 17, from: from.0, to: to.0, fragment: UInt16(start / 8) | more,
                                identification: identification), type: 0x0800, tags: tags))
                    if pieces.count > 6 { break }
                }
            default:
                let (source, target) = (PacketBuilder.ipv6Address(from.0[3]), PacketBuilder.ipv6Address(to.0[3]))
                if flow % 2 == 0 {
                    pieces = [
                        PacketBuilder.ethernet(
                            PacketBuilder.ipv6(udp, nextHeader: 17, from: source, to: target), type: 0x86DD, tags: tags)
                    ]
                } else {
                    for start in stride(from: 0, to: min(udp.count, 96), by: 24) {
                        let part = Array(udp[start..<min(udp.count, start + 24)])
                        let header = PacketBuilder.fragmentHeader(
                            next: 17, offset: UInt16(start), more: start + part.count < udp.count,
                            identification: UInt32(identification))
                        pieces.append(
                            PacketBuilder.ethernet(
                                PacketBuilder.ipv6(header + part, nextHeader: 44, from: source, to: target),
                                type: 0x86DD,
                                tags: tags))
                    }
                }
            }
            // Fragments overtake each other; some never come.
            if random.next() % 3 == 0 { pieces.reverse() }
            if pieces.count > 2, random.next() % 8 == 0 { pieces.remove(at: Int(random.next() % UInt64(pieces.count))) }
            result += pieces
        }
        return result
    }

    private struct Generator {
        var state: UInt64
        mutating func next() -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return state >> 33
        }
    }

    private static func classic(_ frames: ArraySlice<[UInt8]>) -> [UInt8] {
        var file = ClassicBuilder()
        for (index, frame) in frames.enumerated() { file.packet(seconds: 5, fraction: UInt32(index), frame) }
        return file.built("").bytes
    }

    private static func pcapng(_ frames: ArraySlice<[UInt8]>) -> [UInt8] {
        var file = PcapngBuilder()
        file.section(.little)
        file.interface(resolution: 9, [.text(2, "eth0")])
        for (index, frame) in frames.enumerated() { file.enhanced(0, units: UInt64(index), frame) }
        return file.built("").bytes
    }

    /// Runs a cat for each member at the same time.
    private func cats(_ mounted: Mounted, _ name: String, _ count: Int) throws -> [[UInt8]] {
        let children = try (0..<count).map { _ in try mounted.reader(name) }
        return try children.map { child in
            let result = try child.wait()
            #expect(result.status == .exited(0), "\(result.errorText)")
            return child.bytes
        }
    }

    /// The frames in a capture, by tcpdump's own reading of it.
    private func framesIn(_ bytes: [UInt8], _ folder: String) throws -> [[UInt8]] {
        try writeFile("\(folder)/member", bytes)
        return try tsharkPackets("\(folder)/member", interfacesPerSection: [1, 1, 1]).map(\.bytes)
    }

    @Test(
        "H3 to H6, H8, D5: each packet goes whole to the member the reference splitter names, in the order of the file",
        arguments: [(0, true), (0, false), (1, true), (2, true), (3, false), (4, true)])
    func distribution(mode: Int, isClassic: Bool) throws {
        try requireTool("tshark")
        let frames = Self.frames(1500)
        let make = isClassic ? Self.classic : Self.pcapng
        let mounted = try Mounted("clustermode=\(mode)") { source in
            try writeFile("\(source)/a", make(frames[..<700]))
            try writeFile("\(source)/b", make(frames[700...]))
        }
        var reference = FlowReference(mode: mode, members: 3)
        let wanted = reference.members(of: frames)
        let outputs = try cats(mounted, "clustersize=3/a..b", 3)
        try withTemporaryDirectory { folder in
            let found = try outputs.map { try framesIn($0, folder) }
            let expected = (0..<3).map { member in frames.indices.filter { wanted[$0] == member }.map { frames[$0] } }
            // Which process became which member is not said; what each got is.
            for list in expected where !list.isEmpty {
                #expect(found.contains(list), "\(list.count) of \(found.map(\.count))")
            }
            #expect(found.map(\.count).sorted() == expected.map(\.count).sorted())
        }
        let header = Array(make(frames[..<0]).prefix(isClassic ? 24 : 200))
        for output in outputs { #expect(output.starts(with: header)) }
    }

    @Test("D1 and H1: nobody gets a byte until all members have read")
    func barrier() throws {
        let mounted = try Mounted { try writeFile("\($0)/a", Self.classic(Self.frames(50)[...])) }
        let first = (0..<2).map { _ in unsafe open(mounted.path("clustersize=3/a..a"), O_RDONLY | O_NONBLOCK) }
        // One that only opens is no member.
        let looker = unsafe open(mounted.path("clustersize=3/a..a"), O_RDONLY)
        close(looker)
        defer { for file in first { close(file) } }
        var buffer = [UInt8](repeating: 0, count: 100)
        for _ in 0..<3 {
            for file in first { #expect(unsafe read(file, &buffer, 100) == -1 && errno == EAGAIN) }
        }
        let last = unsafe open(mounted.path("clustersize=3/a..a"), O_RDONLY | O_NONBLOCK)
        defer { close(last) }
        #expect(unsafe read(last, &buffer, 24) == 24)
        for file in first { #expect(unsafe read(file, &buffer, 24) == 24) }
    }

    @Test(
        "H2 and D2: the fastest member waits when it is blockslack ahead of the slowest, and goes on when that one reads"
    )
    func slack() throws {
        // Every flow by its addresses; two members that both get something.
        let frames = Self.frames(4000)
        let bytes = Self.classic(frames[...])
        let mounted = try Mounted("clustersize=2,clustermode=2,blockslack=16") { try writeFile("\($0)/a", bytes) }
        let files = (0..<2).map { _ in unsafe open(mounted.path("a..a"), O_RDONLY | O_NONBLOCK) }
        defer { for file in files { close(file) } }
        func drain(_ file: Int32) -> Int {
            var (total, buffer) = (0, [UInt8](repeating: 0, count: 65_536))
            while case let count = unsafe read(file, &buffer, buffer.count), count > 0 { total += count }
            return total
        }
        #expect(drain(files[0]) == 0)
        var buffer = [UInt8](repeating: 0, count: 24)
        #expect(unsafe read(files[1], &buffer, 24) == 24)
        let fast = drain(files[0])
        #expect(fast > 0 && fast <= 16 * 4096 + 65_536 && errno == EAGAIN)
        // Nothing more until the slow one moves; then all of it, in turns.
        #expect(drain(files[0]) == 0)
        var total = fast + 24
        for _ in 0..<bytes.count {
            let more = drain(files[1]) + drain(files[0])
            if more == 0 { break }
            total += more
        }
        #expect(total == bytes.count + 24)
    }

    @Test("H5 and H9: a live cluster shares out what comes, and .end is the end for all")
    func live() throws {
        let frames = Self.frames(600)
        let mounted = try Mounted("clustersize=2") { try writeFile("\($0)/a", Self.classic(frames[..<300])) }
        let readers = try (0..<2).map { _ in try mounted.reader("a") }
        func total() -> Int { readers.reduce(0) { $0 + $1.bytes.count } }
        func waitFor(_ count: Int) throws {
            for _ in 0..<20_000 where total() < count { usleep(1000) }
            #expect(total() == count)
        }
        try waitFor(Self.classic(frames[..<300]).count + 24)
        // Half a packet is given to nobody.
        let file = Self.classic(frames[300...])
        try mounted.add("b", Array(file[..<(file.count - 5)]))
        let tail = Self.classic(frames[(frames.count - 1)...]).count - 24
        try waitFor(Self.classic(frames[..<300]).count + 24 + file.count - 24 - tail)
        try writeFile(mounted.path(".end"), Array("b\n".utf8))
        try mounted.add("b", Array(file[(file.count - 5)...]))
        try mounted.put("c", Self.classic(frames[..<1]))
        for reader in readers { #expect(try reader.wait().status == .exited(0)) }
        #expect(total() == Self.classic(frames[...]).count + 24)
        #expect(try readFile(mounted.path(".last")) == Array("b\n".utf8))
    }

    @Test("K: a member that sets its stdio buffer after the header was read gets every byte")
    func lateBuffer() throws {
        let frames = Self.frames(3000)
        let mounted = try Mounted("clustersize=2,clustermode=1") { try writeFile("\($0)/a", Self.classic(frames[...])) }
        let other = try mounted.reader("a..a")
        let file = unsafe fopen(mounted.path("a..a"), "r")!
        defer { unsafe fclose(file) }
        var header = [UInt8](repeating: 0, count: 24)
        #expect(unsafe fread(&header, 1, 24, file) == 24)
        var buffer = [CChar](repeating: 0, count: 131_072)
        var rest = [UInt8](repeating: 0, count: 4 << 20)
        let count = unsafe buffer.withUnsafeMutableBufferPointer { buffer in
            #expect(unsafe setvbuf(file, buffer.baseAddress, _IOFBF, buffer.count) == 0)
            defer { unsafe setvbuf(file, nil, _IONBF, 0) }
            return unsafe fread(&rest, 1, rest.count, file)
        }
        #expect(try other.wait().status == .exited(0))
        #expect(24 + count + other.bytes.count == Self.classic(frames[...]).count + 24)
        try withTemporaryDirectory { folder in
            let all = try framesIn(header + rest[..<count], folder) + framesIn(other.bytes, folder)
            #expect(Set(all) == Set(frames) && all.count == frames.count)
        }
    }

    @Test(
        "I1 to I3, D4: when a member leaves, the others get what clusterabend says, and .abend has its process",
        arguments: [0, 1, 2, 3, 4])
    func abend(action: Int) throws {
        let frames = Self.frames(400)
        let mounted = try Mounted("clustersize=2,clusterabend=\(action)") { source in
            try writeFile("\(source)/a", Self.classic(frames[..<200]))
            try writeFile("\(source)/b", Self.classic(frames[200..<300]))
        }
        let readers = try (0..<2).map { _ in try mounted.reader("a") }
        for reader in readers { try reader.waitFor(25) }
        let share = Self.classic(frames[..<300]).count + 24
        for _ in 0..<20_000 where readers.reduce(0, { $0 + $1.bytes.count }) < share { usleep(1000) }
        // Process death is a close like any other.
        readers[0].send(signal: SIGKILL)
        _ = try readers[0].wait()
        for _ in 0..<20_000
        where mounted.errnoOf(
            ".abend",
            { path in
                var s = stat(); return unsafe stat(path, &s)
            }) != 0
        { usleep(1000) }
        #expect(try readFile(mounted.path(".abend")) == Array("\(readers[0].identifier)\n".utf8))
        let before = readers[1].bytes.count
        if action >= 2 {
            // They go on, at least to the end of the file.
            #expect(readers[1].isRunning())
            try mounted.put("c", Self.classic(frames[300...]))
        }
        switch action {
        case 0, 3: #expect(try readers[1].wait().status == .exited(1))
        case 1, 2: #expect(try readers[1].wait().status == .exited(0))
        default:
            try readers[1].waitFor(before + 1)
            #expect(readers[1].isRunning())
        }
        if action == 2 || action == 3 {
            for _ in 0..<20_000
            where mounted.errnoOf(
                ".last",
                { path in
                    var s = stat(); return unsafe stat(path, &s)
                }) != 0
            { usleep(1000) }
            #expect(try readFile(mounted.path(".last")) == Array("b\n".utf8))
            #expect(try readFile(mounted.path(".next")) == Array("c\n".utf8))
        } else {
            #expect(try readFile(mounted.path(".last")) == Array("a\n".utf8))
            #expect(try readFile(mounted.path(".next")) == Array("b\n".utf8))
        }
    }

    @Test(
        "I4: a member that leaves before all are there ends the waiting of the others, and the next cluster begins anew"
    )
    func abandoned() throws {
        let mounted = try Mounted("clustersize=3") { try writeFile("\($0)/a", Self.classic(Self.frames(50)[...])) }
        let readers = try (0..<2).map { _ in try mounted.reader("a..a") }
        var text = ""
        for _ in 0..<20_000 where !text.contains("2 of 3") {
            text = String(decoding: try readFile(mounted.path(".status")), as: UTF8.self)
            usleep(500)
        }
        readers[0].send(signal: SIGTERM)
        _ = try readers[0].wait()
        #expect(try readers[1].wait().status == .exited(1))
        let outputs = try cats(mounted, "a..a", 3)
        #expect(outputs.reduce(0) { $0 + $1.count } == Self.classic(Self.frames(50)[...]).count + 48)
    }

    @Test("Clusters of one name at once, and of other options, are apart")
    func several() throws {
        let bytes = Self.classic(Self.frames(300)[...])
        let mounted = try Mounted { try writeFile("\($0)/a", bytes) }
        let readers =
            try (0..<4).map { _ in try mounted.reader("clustersize=2/a..a") }
            + (0..<2).map { _ in try mounted.reader("clustersize=2/clustermode=2/a..a") }
        for reader in readers { #expect(try reader.wait().status == .exited(0)) }
        #expect(readers.reduce(0) { $0 + $1.bytes.count } == 3 * (bytes.count + 24))
    }

    @Test("H4: a thousand flows spread evenly: no member has more than 1.3 times its share")
    func balance() throws {
        var file = ClassicBuilder()
        for packet in 0..<4000 {
            let flow = packet % 1000
            let udp = PacketBuilder.udp([UInt8](repeating: 0, count: 50), from: UInt16(1024 + flow), to: 53)
            file.packet(
                seconds: 1, fraction: 1,
                PacketBuilder.ethernet(PacketBuilder.ipv4(udp, protocolNumber: 17), type: 0x0800))
        }
        let bytes = file.built("").bytes
        let mounted = try Mounted("clustersize=4") { try writeFile("\($0)/a", bytes) }
        let outputs = try cats(mounted, "a..a", 4)
        #expect(Double(outputs.map(\.count).max()!) <= 1.3 * Double(bytes.count) / 4)
    }
}
