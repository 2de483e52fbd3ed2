import TestSupport
import Testing

@Suite("Exit codes and messages of the command line")
struct ExitCodeTests {
    @Test("Help and version are results: standard output, exit 0")
    func help() throws {
        for arguments in [
            [], ["--help"], ["help"], ["run", "--help"], ["help", "run"], ["run", "-h"], ["--version"],
        ] {
            let result = try spillway(arguments)
            expect(result, exits: 0)
            #expect(!result.output.isEmpty && result.errors.isEmpty, "\(arguments)")
        }
    }

    @Test(
        "64: what is wrong on the command line is named, and nothing goes to standard output",
        arguments: [
            (["fly"], ["fly"]), (["run", "extra"], ["extra"]), (["run"], ["no input", "-i", "-r"]),
            (["run", "-r", "a"], ["no output", "--to"]), (["run", "-r"], ["-r"]),
            (["run", "-i", "e", "-r", "a", "--to", "null"], ["-i e", "-r a"]),
            (["run", "-r", "a", "--to", "null", "--memory", "12Q"], ["--memory 12Q", "512M"]),
            (["run", "-r", "a", "--to", "nowhere"], ["--to nowhere", "HOST:PORT"]),
            (["run", "-r", "a", "--listen", "57012"], ["--listen 57012", "ADDR:PORT"]),
            (["run", "-r", "a", "-w", "-", "--report", "-"], ["-w -", "--report -"]),
            (["run", "-r", "-", "-r", "-", "--to", "null"], ["-r -", "twice"]),
            (["run", "-r", "a", "--to", "null", "--name", ".x"], ["--name .x"]),
            (["run", "-r", "a", "--to", "null", "--config", ""], ["--config", "YAML"]),
        ] as [([String], [String])])
    func usage(arguments: [String], words: [String]) throws {
        let result = try spillway(arguments)
        expect(result, exits: 64, naming: words)
        #expect(result.output.isEmpty)
    }

    @Test(
        "64: what is said of a cache that there is not",
        arguments: [
            ["--replay", "idle"], ["--sync", "none"], ["--memory-age", "5s"], ["--spill-size", "1G"],
            ["--spill-file-size", "8M"],
        ])
    func withoutCache(arguments: [String]) throws {
        let result = try spillway(["run", "-r", "a", "--to", "null"] + arguments)
        expect(result, exits: 64, naming: [arguments.joined(separator: " "), "--spill"])
    }

    @Test(
        "64: commands and values that do not exist, or lack something",
        arguments: [
            ["mount"], ["serve"], ["replay"], ["inspect"], ["top"],
            ["run", "-r", "a", "--to", "null", "--distribute", "hash"],
            ["run", "-r", "a", "--to", "null", "--reassemble", "maybe"],
            ["run", "-r", "a", "--to", "h:1,backlog=some"],
        ])
    func later(arguments: [String]) throws {
        expect(try spillway(arguments), exits: 64, naming: [arguments.last { $0.hasPrefix("-") } ?? arguments[0]])
    }

    @Test("64: a wrong value or key in the configuration file is named with the file")
    func configurationUsage() throws {
        try withTemporaryDirectory { folder in
            let path = "\(folder)/site.yaml"
            try writeFile(path, Array("memroy: 1G".utf8))
            expect(try spillway(["run", "--config", path]), exits: 64, naming: [path, "memroy"])
            try writeFile(path, Array("read: a\nto: null\nmemory: 1Z".utf8))
            expect(try spillway(["run", "--config", path]), exits: 64, naming: [path, "memory: 1Z", "512M"])
            try writeFile(path, Array("read: a\nto: null\nmemory: [1G]".utf8))
            expect(try spillway(["run", "--config", path]), exits: 64, naming: [path, "memory", "one value"])
        }
    }

    @Test("65: a configuration file that is no YAML mapping, or absurdly large")
    func malformedConfiguration() throws {
        try withTemporaryDirectory { folder in
            let path = "\(folder)/site.yaml"
            try writeFile(path, Array("read: [".utf8))
            expect(try spillway(["run", "--config", path]), exits: 65, naming: [path])
            try writeFile(path, [UInt8](repeating: 0x23, count: 2 << 20))
            expect(try spillway(["run", "--config", path]), exits: 65, naming: [path, "1 MiB"])
        }
    }

    @Test("66: a configuration file that is not there or cannot be read")
    func missingConfiguration() throws {
        try withTemporaryDirectory { folder in
            let path = "\(folder)/missing.yaml"
            let reason = "No such file or directory"
            expect(try spillway(["run", "--config", path]), exits: 66, naming: [path, reason])
            expect(try spillway(["run"], environment: ["SPILLWAY_CONFIG": path]), exits: 66, naming: [path, reason])
            expect(try spillway(["run", "--config", folder]), exits: 66, naming: [folder, "directory"])
        }
    }

    @Test("A run that does not start leaves the report of the one before as it was")
    func formerReport() throws {
        try withTemporaryDirectory { folder in
            let former = [UInt8](repeating: 32, count: 100_000)
            try writeFile("\(folder)/report", former)
            let result = try spillway(["run", "-r", "\(folder)/none", "--to", "null", "--report", "\(folder)/report"])
            expect(result, exits: 66, naming: ["\(folder)/none"])
            #expect(try readFile("\(folder)/report") == former)
            try writeFile("\(folder)/empty", ClassicBuilder(.nanoseconds, linkTypeWord: 1).built("").bytes)
            let next = try spillway([
                "run", "-r", "\(folder)/empty", "--to", "null", "--report", "\(folder)/report",
            ])
            #expect(next.status == .exited(0))
            let text = String(decoding: try readFile("\(folder)/report"), as: UTF8.self)
            #expect(text.hasPrefix("{") && text.hasSuffix("}\n") && text.utf8.count < former.count)
        }
    }

    @Test("73: a report that cannot be created is known before the run begins")
    func uncreatableReport() throws {
        try withTemporaryDirectory { folder in
            let path = "\(folder)/missing/report.json"
            // The input does not exist either: nothing has looked at it yet.
            let result = try spillway(["run", "-r", "\(folder)/none", "--to", "null", "--report", path])
            expect(result, exits: 73, naming: ["--report \(path)", "No such file or directory"])
        }
    }
}
