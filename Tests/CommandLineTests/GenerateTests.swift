import Options
import TestSupport
import Testing

@Suite("The command line of generate")
struct GenerateTests {
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
