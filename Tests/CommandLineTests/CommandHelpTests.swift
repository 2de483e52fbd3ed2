import Options
import TestSupport
import Testing

/// A command whose options come from all layers, and what its help is to show.
struct HelpedCommand: CustomTestStringConvertible, Sendable {
    let name: String
    /// Long names, with their letters where people know them by those.
    let options: [(long: String, spelling: String)]
    /// Options without a value on the command line.
    let flags: Set<String>
    /// How many examples the help has.
    let examples: Int

    init<Option: CommandOption>(_ name: String, _: Option.Type, flags: Set<String> = [], examples: Int) {
        self.name = name
        options = Option.allCases.map { ("--\($0.rawValue)", $0.spelling) }
        self.flags = flags
        self.examples = examples
    }

    var testDescription: String { name }

    static let all = [
        HelpedCommand("collect", CollectOption.self, examples: 3),
        HelpedCommand("generate", GenerateOption.self, examples: 4),
        HelpedCommand("inspect", InspectOption.self, flags: ["--check", "--repair", "--json"], examples: 4),
        HelpedCommand("receive", ReceiveOption.self, flags: ["--pass-on", "--sync", "--once"], examples: 3),
        HelpedCommand("replay", ReplayOption.self, examples: 6),
        HelpedCommand("run", RunOption.self, flags: ["--busy-poll"], examples: 6),
        HelpedCommand("send", SendOption.self, examples: 3),
        HelpedCommand("serve", ServeOption.self, examples: 2),
    ]
}

@Suite("The help of every command")
struct CommandHelpTests {
    @Test(
        "Every option of the help exists, and every option that exists is in the help", arguments: HelpedCommand.all)
    func options(command: HelpedCommand) throws {
        let help = try spillway([command.name, "--help"]).checked().outputText
        let listed = Set(help.split { !$0.isLetter && $0 != "-" }.filter { $0.hasPrefix("--") }.map(String.init))
        #expect(listed == Set(command.options.map(\.long) + ["--config", "--help", "--version"]))
        for option in command.options where !command.flags.contains(option.long) {
            // Without a value it must be missing its value, not unknown.
            expect(try spillway([command.name, option.long]), exits: 64, naming: ["Missing value for '"])
            if option.spelling.count == 2 { #expect(help.contains("  \(option.spelling), \(option.long) <")) }
        }
    }

    @Test("Every example in the help is a valid command line", arguments: HelpedCommand.all)
    func examples(command: HelpedCommand) throws {
        let lines = try spillway([command.name, "--help"]).checked().outputLines.map { String($0.drop { $0 == " " }) }
        // The line of usage is none.
        let examples = lines.filter { $0.hasPrefix("spillway \(command.name) ") && !$0.contains("[options]") }
        #expect(examples.count == command.examples)
        for example in examples { try check(example) }
    }

    @Test("Every example in the page of all commands is a valid command line")
    func overview() throws {
        let lines = try spillway(["--help"]).checked().outputLines.map { String($0.drop { $0 == " " }) }
        let names = Set(HelpedCommand.all.map(\.name))
        let examples = lines.filter { line in
            let words = line.split(separator: " ")
            return words.count > 2 && words[0] == "spillway" && names.contains(String(words[1])) && !line.contains("[")
        }
        #expect(examples.count == 4)
        for example in examples { try check(example) }
    }

    /// Runs an example to the last step before work begins: a report that cannot be made.
    private func check(_ example: String) throws {
        try withTemporaryDirectory { folder in
            try writeFile("\(folder)/token", [UInt8](repeating: 1, count: 32))
            for name in ["capture.pcapng", "a.pcap", "b.pcap"] { try writeFile("\(folder)/\(name)", []) }
            var arguments = try words(example).map { $0.hasPrefix("/var/") ? folder : $0 }
            if let place = arguments.firstIndex(of: "--config") {
                arguments[place + 1] = "\(folder)/site.yaml"
                try writeFile("\(folder)/site.yaml", Array("read: a\nto: null\n".utf8))
            }
            // What goes to standard output must not be the report, too.
            let result = try spillway(arguments + ["--report", "missing/r"], directory: folder)
            expect(result, exits: 73, naming: ["--report"])
        }
    }

    /// The words of a line, as a shell takes them apart.
    private func words(_ line: String) throws -> [String] {
        let text = line.prefix { $0 != "|" }
        return try run("sh", ["-c", "printf '%s\\n' \(text)"]).checked().outputLines.dropFirst().map { $0 }
    }
}
