import Options
import Testing

private func file(_ text: String) throws -> ConfigurationFile {
    try ConfigurationFile(path: "site.yaml", content: Array(text.utf8))
}

private func understood(
    _ commandLine: [RunOption: [String]] = [:], environment: [String: String] = [:], yaml: String = ""
) throws -> RunOptions {
    try RunOptions(
        Settings(commandLine: commandLine, environment: environment, file: try file(yaml)), hostName: "host")
}

@Suite("Command line over environment over file")
struct LayerTests {
    static let yaml = """
        # A site's options.
        read: [a.pcap, b.pcap]
        to:
          - 192.0.2.7:57012,name=main
          - null
        memory: 1G
        count: 100
        hugepages: off
        """

    @Test("A file alone is enough")
    func fileAlone() throws {
        let options = try understood(yaml: Self.yaml)
        #expect(options.inputs == .files(["a.pcap", "b.pcap"]))
        #expect(options.destinations.map(\.name) == ["main", "null"])
        #expect(options.memory == 1 << 30 && options.count == 100 && options.hugepages == .off)
    }

    @Test("The environment wins over the file, and the command line over both, option by option")
    func precedence() throws {
        let environment = ["SPILLWAY_MEMORY": "2G", "SPILLWAY_COUNT": "200", "SPILLWAY_TO": " h:1,name=x\n\tnull  "]
        let over = try understood(environment: environment, yaml: Self.yaml)
        #expect(over.memory == 2 << 30 && over.count == 200 && over.hugepages == .off)
        #expect(over.destinations.map(\.name) == ["x", "null"])
        let top = try understood([.memory: ["3G"], .to: ["h:9"]], environment: environment, yaml: Self.yaml)
        #expect(top.memory == 3 << 30 && top.count == 200 && top.hugepages == .off)
        #expect(top.destinations.map(\.name) == ["h:9"])
    }

    @Test("A layer that names an input replaces inputs of either kind below it")
    func inputs() throws {
        let live = try understood([.interface: ["eth0"]], yaml: Self.yaml)
        #expect(live.inputs == .interfaces([.init("eth0")]))
        let fromEnvironment = try understood(environment: ["SPILLWAY_INTERFACE": "eth0 eth1"], yaml: Self.yaml)
        #expect(fromEnvironment.inputs == .interfaces([.init("eth0"), .init("eth1")]))
        #expect(throws: OptionError.self) {
            _ = try understood(environment: ["SPILLWAY_INTERFACE": "eth0", "SPILLWAY_READ": "a"], yaml: Self.yaml)
        }
        #expect(throws: OptionError.self) { _ = try understood(yaml: "read: a\ninterface: b\nto: null") }
    }

    @Test("Options for the other kind of input are ignored in the lower layers")
    func otherInput() throws {
        let yaml = "interface: eth0\nto: null\ncapture: af-packet\ntap: mirror\npace: recorded"
        #expect(try understood([.read: ["a"]], yaml: yaml).pace == .recorded)
        #expect(try understood(yaml: yaml).capture == .afPacket)
    }

    @Test("Every option has a variable and a key; one value is read the same from all three")
    func everyOption() throws {
        for option in RunOption.allCases {
            let variable = "SPILLWAY_" + option.rawValue.uppercased().replacing("-", with: "_")
            #expect(option.variable == variable)
            // No option takes this value, so each layer must complain about it, in its own words.
            let wrong = "/\u{1}"
            let other: RunOption = option == .interface ? .read : .interface
            guard ![.read, .write, .report, .filter, .admitMatch, .tokenFile, .spill].contains(option) else { continue }
            let base: [RunOption: [String]] = option == .interface ? [.to: ["null"]] : [other: ["x"], .to: ["null"]]
            let commandLine = base.filter { $0.key != option }
            let fromEnvironment = #expect(throws: OptionError.self, "\(option)") {
                _ = try understood(commandLine, environment: [variable: wrong])
            }
            #expect(fromEnvironment?.description.hasPrefix("\(variable)=\(wrong)") == true)
            let fromFile = #expect(throws: OptionError.self, "\(option)") {
                _ = try understood(commandLine, yaml: "\(option.rawValue): \"/\\u0001\"")
            }
            #expect(fromFile?.description.hasPrefix("site.yaml: \(option.rawValue): \(wrong)") == true)
        }
    }

    @Test("Paths and filters come from all three as well")
    func texts() throws {
        let yaml = "read: f\nwrite: f2\nreport: f3\nfilter: f4 f5"
        let lowest = try understood(yaml: yaml)
        #expect(lowest.inputs == .files(["f"]) && lowest.write == "f2" && lowest.report == "f3")
        #expect(lowest.filter == "f4 f5")
        let environment = [
            "SPILLWAY_READ": "e e1", "SPILLWAY_WRITE": "e 2", "SPILLWAY_REPORT": "e3", "SPILLWAY_FILTER": "e4",
        ]
        let middle = try understood(environment: environment, yaml: yaml)
        #expect(middle.inputs == .files(["e", "e1"]) && middle.write == "e 2" && middle.report == "e3")
        #expect(middle.filter == "e4")
        let top = try understood(
            [.read: ["c"], .write: ["c2"], .report: ["c3"], .filter: ["c4"]], environment: environment, yaml: yaml)
        #expect(top.inputs == .files(["c"]) && top.write == "c2" && top.report == "c3" && top.filter == "c4")
    }

    @Test("A variable set to nothing is unset; variables of other names do not matter")
    func emptyVariable() throws {
        let options = try understood(
            environment: ["SPILLWAY_MEMORY": "", "SPILLWAY_TO": " ", "SPILLWAY_REQUIRE_ALL": "1", "MEMORY": "x"],
            yaml: Self.yaml)
        #expect(options.memory == 1 << 30 && options.destinations.count == 2)
    }
}

@Suite("Configuration files")
struct ConfigurationFileTests {
    @Test("Nothing but comments is a valid file", arguments: ["", "\n\n", "# only\n  # comments\n", "\r\n"])
    func blank(text: String) throws {
        _ = try file(text)
    }

    @Test(
        "An unknown key is named with the file and with the keys there are",
        arguments: [
            ("memroy: 1G", "memroy"), ("split: /x", "split"), ("config: x", "config"), ("Memory: 1G", "Memory"),
            ("memory: {size: 1G}", "memory.size"), ("to: {a: b}", "to.a"), ("version: 1", "version"),
            ("read: a\n\"\": b", "site.yaml: : "), ("i: eth0", "i"),
        ])
    func unknown(text: String, key: String) {
        let error = #expect(throws: OptionError.self) { _ = try file(text) }
        #expect(error?.kind == .usage)
        for word in ["site.yaml: ", key, "memory", "drain-timeout"] {
            #expect(error?.description.contains(word) == true, "\(word) in \(error as Any)")
        }
    }

    @Test(
        "A list for an option with one value is refused", arguments: ["memory: [1G]", "memory: [1G, 2G]", "name: []"])
    func listForOne(text: String) {
        let error = #expect(throws: OptionError.self) { _ = try file(text) }
        #expect(error?.kind == .usage)
        #expect(error?.description.contains("one value") == true)
    }

    @Test(
        "What is no YAML mapping of options is malformed, in one line with the file's name",
        arguments: [
            "memory: [", "- a\n- b", "just words", "memory: 1G\nmemory: 2G", "to: [[a]]", "to: [{a: b}]", "\"open: x",
            "a: b: c", "\tx: y", "memory: *nowhere", "? [a]\n: b", "{",
        ])
    func malformed(text: String) {
        let error = #expect(throws: OptionError.self) { _ = try file(text) }
        #expect(error?.kind == .malformedFile)
        #expect(error?.description.hasPrefix("site.yaml: ") == true)
        #expect(error?.description.contains("\n") == false)
    }

    @Test("Bytes that are no text are malformed")
    func noText() {
        let error = #expect(throws: OptionError.self) {
            _ = try ConfigurationFile(path: "x", content: [0x6d, 0x3a, 0x20, 0xff, 0xfe, 0x00])
        }
        #expect(error?.kind == .malformedFile)
    }
}
