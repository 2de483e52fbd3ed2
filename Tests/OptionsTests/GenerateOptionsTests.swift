import Options
import Testing

@Suite("Options of generate")
struct GenerateOptionsTests {
    private func options(_ values: [GenerateOption: String], environment: [String: String] = [:]) throws
        -> GenerateOptions
    {
        try GenerateOptions(
            LayeredSettings(commandLine: values.mapValues { [$0] }, environment: environment))
    }

    @Test("Every value is understood")
    func all() throws {
        let options = try options([
            .interface: "veth0", .rate: "2.5Gbps", .count: "7", .duration: "1.5s", .protocol: "udp", .ip: "6",
            .size: "78-1514", .flows: "1000", .vlan: "100,200", .fragments: "overlapping", .fragmentSize: "1400",
            .destinationMAC: "02:aB:00:fF:09:10", .report: "-",
        ])
        #expect(options.interface == "veth0" && options.rate == .bitsPerSecond(2_500_000_000))
        #expect(options.count == 7 && options.duration == 1_500_000_000)
        #expect(options.transport == .udp && options.version == .six && options.flows == 1000)
        #expect(options.size == .range(78...1514) && options.tags == [100, 200])
        #expect(options.fragments == .overlapping && options.fragmentSize == 1400)
        #expect(options.destinationMAC == [0x02, 0xab, 0, 0xff, 9, 0x10] && options.report == "-")
    }

    @Test("Nothing but the interface is needed")
    func least() throws {
        let options = try options([.interface: "e"])
        #expect(options.rate == nil && options.count == nil && options.size == nil && options.tags == nil)
        #expect(try self.options([.interface: "e", .size: "imix"]).size == .imix)
        #expect(try self.options([.interface: "e", .size: "1K"]).size == .range(1024...1024))
        #expect(try self.options([.interface: "e", .protocol: "tcp", .segments: "5"]).segments == 5)
    }

    @Test(
        "What is wrong is named, and what would be right",
        arguments: [
            (.interface, "", "-i"), (.interface, "a b", "-i a b"), (.rate, "0pps", "max"), (.rate, "fast", "100Kpps"),
            (.rate, "recorded", "100Kpps"), (.rate, "100", "100Kpps"), (.count, "0", "-c 0"), (.count, "-1", "-c -1"),
            (.duration, "5", "--duration 5"), (.duration, "0", "more than none"), (.protocol, "icmp", "udp, tcp"),
            (.ip, "5", "4, 6"), (.segments, "0", "--segments 0"), (.size, "0", "imix"), (.size, "100-64", "range"),
            (.size, "64-", "range"), (.size, "-64", "range"), (.size, "70000", "65597"), (.flows, "0", "--flows 0"),
            (.flows, "1048577", "1048576"), (.vlan, "4096", "4095"), (.vlan, "1,2,3", "two"), (.vlan, "", "one"),
            (.fragments, "some", "in-order, shuffled, overlapping, incomplete"), (.fragmentSize, "20", "multiple of 8"),
            (.fragmentSize, "8", "16"), (.fragmentSize, "4000", "2960"), (.destinationMAC, "02:00", "02:00:5e"),
            (.destinationMAC, "02:00:5e:10:00:0g", "02:00:5e"), (.destinationMAC, "+2:00:5e:10:00:00", "02:00:5e"),
            (.report, "", "--report"),
        ] as [(GenerateOption, String, String)])
    func wrong(option: GenerateOption, text: String, word: String) throws {
        var values: [GenerateOption: String] = [.interface: "e"]
        values[option] = text
        if option == .segments { values[.protocol] = "tcp" }
        if option == .fragmentSize { values[.fragments] = "shuffled" }
        let error = try #require(throws: OptionError.self) { try self.options(values) }
        #expect(error.kind == .usage && error.description.contains(word), "\(error)")
        #expect(error.description.hasPrefix("\(option.spelling) \(text)"), "\(error)")
    }

    @Test("What does not go together is refused on the command line, and ignored in the environment")
    func together() throws {
        for values in [
            [.interface: "e", .segments: "3"], [.interface: "e", .fragmentSize: "512"],
            [.interface: "e", .protocol: "tcp", .fragments: "shuffled"],
        ] as [[GenerateOption: String]] {
            #expect(throws: OptionError.self) { try options(values) }
        }
        let shared = ["SPILLWAY_SEGMENTS": "3", "SPILLWAY_FRAGMENT_SIZE": "512", "SPILLWAY_INTERFACE": "e"]
        #expect(try options([:], environment: shared).interface == "e")
    }

    @Test("No interface is named as missing")
    func noInterface() throws {
        let error = try #require(throws: OptionError.self) { try self.options([:]) }
        #expect(error.description.contains("-i"))
    }

    @Test("A configuration file has the options of its command, and the layers their order")
    func layers() throws {
        let file = try LayerFile<GenerateOption>(
            path: "g.yaml", content: Array("interface: f\nrate: 5pps\nsize: 99".utf8))
        let options = try GenerateOptions(
            LayeredSettings(commandLine: [.interface: ["c"]], environment: ["SPILLWAY_RATE": "6pps"], file: file))
        #expect(options.interface == "c" && options.rate == .packetsPerSecond(6) && options.size == .range(99...99))
        let error = try #require(throws: OptionError.self) {
            try LayerFile<GenerateOption>(path: "g.yaml", content: Array("memory: 1G".utf8))
        }
        #expect(error.description.contains("memory") && error.description.contains("fragment-size"))
    }
}
