import Options
import TestSupport
import Testing

@Suite("The command line of generate")
struct GenerateTests {
    @Test("Every option of the help exists, and every option that exists is in the help")
    func options() throws {
        let help = try spillway(["generate", "--help"]).checked().outputText
        let listed = Set(help.split { !$0.isLetter && $0 != "-" }.filter { $0.hasPrefix("--") }.map(String.init))
        let known = GenerateOption.allCases.map { "--\($0.rawValue)" } + ["--config", "--help", "--version"]
        #expect(listed == Set(known))
        for option in GenerateOption.allCases {
            let result = try spillway(["generate", "--\(option.rawValue)"])
            expect(result, exits: 64, naming: ["Missing value for '"])
            if option.spelling.count == 2 { #expect(help.contains("  \(option.spelling), --\(option.rawValue) <")) }
        }
    }

    @Test("Every example in the help is a valid command line")
    func examples() throws {
        let pages = try [["--help"], ["generate", "--help"]].map { try spillway($0).checked().outputLines }
        let lines = pages.joined().map { String($0.drop { $0 == " " }) }.filter {
            $0.hasPrefix("spillway generate -i ")
        }
        // One of these is the line of usage, which is none.
        let examples = lines.filter { !$0.contains("[") }
        #expect(examples.count == 5)
        try withTemporaryDirectory { folder in
            for example in examples {
                let words = example.split(separator: " ").dropFirst().map(String.init)
                expect(try spillway(words + ["--report", "\(folder)/missing/r"]), exits: 73, naming: ["--report"])
            }
        }
    }

    @Test(
        "64: what is wrong is named, and nothing goes to standard output",
        arguments: [
            (["generate"], ["no interface", "-i", "help generate"]), (["generate", "extra"], ["extra"]),
            (["generate", "-i", "e", "--size", "49"], ["--size", "50"]),
            (["generate", "-i", "e", "--size", "69", "--ip", "6"], ["--size", "70"]),
            (["generate", "-i", "e", "--size", "81", "--ip", "6", "--protocol", "tcp"], ["--size", "82"]),
            (["generate", "-i", "e", "--size", "57", "--vlan", "1,2"], ["--size", "58"]),
            (["generate", "-i", "e", "--size", "3073"], ["--size", "3072", "--fragments"]),
            (["generate", "-i", "e", "--size", "65550", "--fragments", "shuffled"], ["--size", "65549"]),
            (["generate", "-i", "e", "--size", "65549", "--fragments", "in-order", "--fragment-size", "16"], []),
            (["generate", "-i", "e", "--size", "100", "--fragments", "incomplete"], ["--fragments", "547"]),
            (
                ["generate", "-i", "e", "--fragments", "shuffled", "--protocol", "tcp"],
                ["--fragments shuffled", "UDP"]
            ),
            (["generate", "-i", "e", "--rate", "recorded"], ["--rate recorded"]),
        ] as [([String], [String])])
    func usage(arguments: [String], words: [String]) throws {
        // The last step before work begins is a report that cannot be made; valid values get as far as that.
        let result = try spillway(arguments + (words.isEmpty ? ["--report", "/nowhere/at/all"] : []))
        expect(result, exits: words.isEmpty ? 73 : 64, naming: words)
        #expect(result.output.isEmpty)
    }

    @Test("66 and 65: the configuration file is missing, or none")
    func configuration() throws {
        try withTemporaryDirectory { folder in
            let path = "\(folder)/site.yaml"
            expect(try spillway(["generate", "--config", path]), exits: 66, naming: [path])
            try writeFile(path, Array("rate: [".utf8))
            expect(try spillway(["generate", "--config", path]), exits: 65, naming: [path])
            try writeFile(path, Array("interface: nowhere0\nrate: 5pps".utf8))
            expect(try spillway(["generate", "--config", path]), exits: 66, naming: ["-i nowhere0"])
        }
    }
}
