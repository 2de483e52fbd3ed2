import Glibc
import TestSupport
import Testing

@Suite("Captures put on a wire", .serialized)
struct WireReplayTests {
    /// Ways of sending that a veth pair has.
    static let modes = ["xdp-copy", "af-packet"]

    /// Frames of all lengths an interface of 1500 bytes takes, with and without a tag; none like another.
    private func frames(_ count: Int) -> [Packet] {
        (0..<count).map { number in
            let size = 60 + number * 37 % 1455
            var frame = numberedFrame(number, size: size)
            if number % 5 == 0 { frame.insert(contentsOf: [0x81, 0, 0, 7], at: 12) }
            return Packet(
                time: 1_700_000_000_000_000_000 + UInt64(number) * 10_000, original: UInt32(frame.count), bytes: frame)
        }
    }

    @Test("Exactly the packets of the files arrive, in their order", arguments: modes, ["recorded", "20Kpps"])
    func exact(mode: String, pace: String) throws {
        try withNetworkNamespace { space in
            try withTemporaryDirectory { folder in
                // Fewer than the other end of a veth pair has room for, should all of them be late together.
                let packets = frames(800)
                try writeFile("\(folder)/a.pcapng", nanosecondFile(Array(packets[..<500])))
                try writeFile("\(folder)/b.pcapng", nanosecondFile(Array(packets[500...])))
                let tap = try Wiretap("right", in: space, to: "\(folder)/seen.pcap")
                let result = try space.replay(
                    ["\(folder)/a.pcapng", "\(folder)/b.pcapng", "--transmit", mode, "--pace", pace], folder: folder)
                #expect(result.command.status == .exited(0), "\(result.command.errorText)")
                #expect(result.command.errorText.contains("sending out of left by \(mode)"))
                #expect(try tap.packets(800).map(\.bytes) == packets.map(\.bytes))
                #expect(result.count("packets") == 800 && result.count("sent") == 800)
                #expect(result.count("sent_bytes") == UInt64(packets.reduce(0) { $0 + $1.bytes.count }))
            }
        }
    }

    @Test("As fast as it goes: what the other end can take arrives in order, and nothing else", arguments: modes)
    func top(mode: String) throws {
        try withNetworkNamespace { space in
            try withTemporaryDirectory { folder in
                let packets = frames(3000)
                try writeFile("\(folder)/a.pcapng", nanosecondFile(packets))
                let tap = try Wiretap("right", in: space, to: "\(folder)/seen.pcap")
                let result = try space.replay(
                    ["\(folder)/a.pcapng", "--transmit", mode, "--pace", "top"], folder: folder)
                #expect(result.command.status == .exited(0), "\(result.command.errorText)")
                let (sent, dropped) = (result.count("sent") ?? 0, result.count("dropped", "driver") ?? 0)
                #expect(result.count("packets") == 3000 && sent + dropped == 3000)
                // The other end of a veth pair has a queue of its own, which may overflow behind our back.
                let found = try tap.packets(1).map(\.bytes)
                #expect(!found.isEmpty && found.count <= Int(sent))
                var rest = packets.map(\.bytes)[...]
                for frame in found {
                    guard let place = rest.firstIndex(of: frame) else {
                        Issue.record("a frame that is foreign, repeated or out of order")
                        break
                    }
                    rest = rest[(place + 1)...]
                }
            }
        }
    }

    @Test(
        "At the recorded pace and at factors of it, by the clock of the other end",
        arguments: [("1x", 1.0), ("2.5x", 2.5)])
    func pace(text: String, factor: Double) throws {
        try withNetworkNamespace { space in
            try withTemporaryDirectory { folder in
                // Bursts and pauses, and one stamp that goes back.
                let offsets: [UInt64] = [0, 1, 2, 150, 151, 149, 400, 401, 700, 1000].map { $0 * 1_000_000 }
                let packets = zip(frames(10), offsets).map {
                    Packet(time: 1_700_000_000_000_000_000 + $1, original: $0.original, bytes: $0.bytes)
                }
                try writeFile("\(folder)/a.pcapng", nanosecondFile(packets))
                let tap = try Wiretap("right", in: space, to: "\(folder)/seen.pcap")
                let result = try space.replay(["\(folder)/a.pcapng", "--pace", text], folder: folder)
                #expect(result.command.status == .exited(0), "\(result.command.errorText)")
                let seen = try tap.packets(10)
                #expect(seen.map(\.bytes) == packets.map(\.bytes))
                // Never early; how late depends on the machine, and only a clock that is wrong is as late as this.
                var latest: UInt64 = 0
                let first = seen[0].time
                for (packet, offset) in zip(seen, offsets) {
                    latest = max(latest, offset)
                    let due = Double(latest) / factor
                    // The first one may have been late itself.
                    #expect(Double(packet.time - first) > due - 30e6, "\(packet.time - first) for \(due)")
                    #expect(Double(packet.time - first) < due + 20e9)
                }
            }
        }
    }

    @Test("What cannot go out is left out and counted by its reason; what was cut goes out as it is")
    func reasons() throws {
        try withNetworkNamespace { space in
            try withTemporaryDirectory { folder in
                var builder = PcapngBuilder()
                builder.section(.little)
                builder.interface(linkType: 1, resolution: 9)
                builder.interface(linkType: 101, resolution: 9)
                // With a frame check sequence of four bytes.
                builder.interface(linkType: 1, resolution: 9, [.bytes(13, [4])])
                let good = frames(4).map(\.bytes)
                let tagged = [UInt8](good[1][..<12]) + [0x81, 0, 0, 1] + sampleBytes(1502, seed: 3)
                builder.enhanced(0, units: 1000, good[0])
                builder.enhanced(1, units: 2000, sampleBytes(60, seed: 1))
                builder.enhanced(0, units: 3000, sampleBytes(13, seed: 2))
                builder.enhanced(0, units: 4000, good[1] + sampleBytes(1515 - good[1].count, seed: 5))
                builder.enhanced(0, units: 5000, tagged)
                builder.enhanced(0, units: 6000, tagged + [1])
                builder.enhanced(0, units: 7000, Array(good[2][..<60]), original: 1400)
                builder.enhanced(2, units: 8000, good[3] + [1, 2, 3, 4])
                try writeFile("\(folder)/a.pcapng", builder.built("reasons").bytes)
                let tap = try Wiretap("right", in: space, to: "\(folder)/seen.pcap")
                let result = try space.replay(["\(folder)/a.pcapng", "--pace", "top"], folder: folder)
                #expect(result.command.status == .exited(0), "\(result.command.errorText)")
                let wanted = [good[0], tagged, Array(good[2][..<60]), good[3]]
                #expect(try tap.packets(4).map(\.bytes) == wanted)
                #expect(result.count("packets") == 8 && result.count("sent") == 4 && result.count("snapped") == 1)
                #expect(result.count("skipped", "too_large") == 2 && result.count("skipped", "too_short") == 1)
                #expect(result.count("skipped", "link_type") == 1)
                for word in ["1 were cut", "2 are longer", "1 are shorter", "1 have another link type"] {
                    #expect(result.command.errorText.contains(word))
                }
            }
        }
    }

    @Test(
        "A cache: its packets, of several files and workers' turns, arrive in the order of time; what is damaged does not",
        arguments: ["recorded", "20Kpps"])
    func cache(pace: String) throws {
        try withNetworkNamespace { space in
            try withTemporaryDirectory { folder in
                let cache = "\(folder)/cache"
                // Two runs, whose times are interleaved.
                let packets = frames(600)
                for turn in 0..<2 {
                    let mine = packets.enumerated().filter { $0.offset % 2 == turn }.map(\.element)
                    try writeFile("\(folder)/in", nanosecondFile(mine))
                    try relay([
                        "-r", "\(folder)/in", "--batch-packets", "20", "--to", "127.0.0.1:9,name=it", "--spill", cache,
                        "--sync", "none", "--drain-timeout", "100ms",
                    ]).expect(exits: 69)
                }
                let before = try cacheFiles(cache).map { try readFile("\(cache)/\($0)") }
                let tap = try Wiretap("right", in: space, to: "\(folder)/seen.pcap")
                let result = try space.replay([cache, "--pace", pace], folder: folder)
                #expect(result.command.status == .exited(0), "\(result.command.errorText)")
                #expect(try tap.packets(600).map(\.bytes) == packets.map(\.bytes))
                #expect(result.count("packets") == 600 && result.count("sent") == 600)
                // Nothing in it is changed, and nothing is delivered by that.
                #expect(try cacheFiles(cache).map { try readFile("\(cache)/\($0)") } == before)
                guard pace != "recorded" else { return }
                // The first record of the first file.
                let path = "\(cache)/\(try cacheFiles(cache)[0])"
                var bytes = try readFile(path)
                let place = try #require(stride(from: 0, to: bytes.count, by: 4).first { bytes.word($0) == 6 })
                bytes[place + 40] ^= 1
                try writeFile(path, bytes)
                let again = try Wiretap("right", in: space, to: "\(folder)/again.pcap")
                let damaged = try space.replay([cache, "--pace", pace], folder: folder)
                #expect(damaged.command.status == .exited(65))
                #expect(damaged.command.errorText.contains("\(cache): left out 1 damaged places"))
                let run = try packetsOfBatch(before[0])
                let rest = packets.map(\.bytes).filter { !run.contains($0) }
                #expect(run.count == 20 && rest.count == 580)
                #expect(try again.packets(580).map(\.bytes) == rest)
            }
        }
    }

    /// The packets of the first batch of a cache file.
    private func packetsOfBatch(_ file: [UInt8]) throws -> Set<[UInt8]> {
        var (offset, found): (Int, Set<[UInt8]>) = (0, [])
        while offset + 12 <= file.count, file.word(offset) != 0x8053_5054 {
            if file.word(offset) == 6 {
                found.insert(Array(file[(offset + 28)..<(offset + 28 + Int(file.word(offset + 20)))]))
            }
            offset += Int(file.word(offset + 4))
        }
        return found
    }

    @Test("Again and again, up to a number of packets; the clock goes on from loop to loop")
    func loops() throws {
        try withNetworkNamespace { space in
            try withTemporaryDirectory { folder in
                let packets = frames(7)
                try writeFile("\(folder)/a.pcapng", nanosecondFile(packets))
                for (options, count) in [(["--loop", "3"], 21), (["--loop", "0", "-c", "16"], 16), (["-c", "4"], 4)] {
                    let tap = try Wiretap("right", in: space, to: "\(folder)/seen.pcap")
                    let result = try space.replay(["\(folder)/a.pcapng"] + options, folder: folder)
                    #expect(result.command.status == .exited(0), "\(result.command.errorText)")
                    let wanted = (0..<count).map { packets[$0 % 7].bytes }
                    #expect(try tap.packets(count).map(\.bytes) == wanted)
                    #expect(result.count("loops") == UInt64((count + 6) / 7))
                }
            }
        }
    }

    @Test("A signal ends it between packets, and what was sent is reported")
    func signal() throws {
        try withNetworkNamespace { space in
            try withTemporaryDirectory { folder in
                // The last packet is due in an hour.
                var packets = frames(50)
                let last = packets[49]
                packets[49] = Packet(
                    time: last.time + 3_600_000_000_000, original: last.original, bytes: last.bytes)
                try writeFile("\(folder)/a.pcapng", nanosecondFile(packets))
                let command = space.inside(
                    try builtExecutable("spillway"),
                    ["replay", "\(folder)/a.pcapng", "-i", "left", "--loop", "0", "--report", "\(folder)/r"])
                let child = try ChildProcess(command.tool, command.arguments, environment: withoutOwnVariables())
                try child.waitUntil { _, errors in errors.contains("sending out of left") }
                usleep(200_000)
                child.send(signal: SIGTERM, toGroup: true)
                let result = try child.wait()
                #expect(result.status == .exited(0), "\(result.errorText)")
                let report = try JSON(readFile("\(folder)/r"))
                #expect(report["sent"]?.count ?? 0 > 0 && report["sent"]?.count == report["packets"]?.count)
                // No packet that was sent is later than all of it took.
                guard case .number(let late) = report["late_max_us"], case .number(let seconds) = report["seconds"]
                else { throw Unexpected("a report without times") }
                #expect(late <= seconds * 1_000_000)
            }
        }
    }

    @Test("What cannot be read or sent is named, with its exit code")
    func errors() throws {
        try withNetworkNamespace { space in
            try withTemporaryDirectory { folder in
                let packets = frames(20)
                let bytes = nanosecondFile(packets)
                try writeFile("\(folder)/a.pcapng", bytes)
                try writeFile("\(folder)/cut.pcapng", Array(bytes.dropLast(30)))
                try space.ip("link", "add", "down0", "type", "veth", "peer", "name", "down1")
                func expect(_ arguments: [String], _ interface: String, exits code: Int32, _ words: [String]) throws {
                    let result = try space.replay(arguments, folder: folder, interface: interface)
                    #expect(result.command.status == .exited(code), "\(result.command.errorText)")
                    for word in words {
                        #expect(result.command.errorText.contains(word), "\(result.command.errorText)")
                    }
                }
                try expect(["\(folder)/a.pcapng"], "nothing0", exits: 66, ["-i nothing0", "no such interface"])
                try expect(["\(folder)/a.pcapng"], "down0", exits: 71, ["down0", "is down"])
                try expect(["\(folder)/missing"], "left", exits: 66, ["\(folder)/missing"])
                try expect(
                    ["\(folder)/a.pcapng", "--transmit", "xdp-zerocopy"], "left", exits: 71, ["left", "xdp-zerocopy"])
                let tap = try Wiretap("right", in: space, to: "\(folder)/seen.pcap")
                try expect(["\(folder)/cut.pcapng"], "left", exits: 65, ["\(folder)/cut.pcapng", "offset"])
                #expect(try tap.packets(19).map(\.bytes) == packets.dropLast().map(\.bytes))
            }
        }
    }
}
