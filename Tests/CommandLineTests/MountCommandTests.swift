import FileSystem
import Glibc
import TestSupport
import Testing

@Suite("The mount's command line")
struct MountCommandTests {
    @Test("The help has every option and nothing else, and says the exit codes")
    func help() throws {
        let pages = try [["mount", "--help"], ["help", "mount"]].map { try spillway($0).checked().outputText }
        #expect(pages[0] == pages[1])
        let lines = pages[0].split(separator: "\n", omittingEmptySubsequences: false)
        let from = try #require(lines.firstIndex { $0.hasPrefix("Options, here and as directories") })
        let block = lines[(from + 1)...].prefix { $0.hasPrefix("  ") }
        let named = block.filter { $0.dropFirst(2).first != " " }.map { line in
            String(line.dropFirst(2).prefix { $0.isLetter })
        }
        #expect(Set(named) == Set(StreamOptions.expectations.keys))
        #expect(named.count == StreamOptions.expectations.count)
        // Longer lines would be broken where they must not be.
        #expect(lines.allSatisfy { $0.count <= 80 })
        for code in [64, 66, 71, 77] { #expect(pages[0].contains("\(code)")) }
    }

    @Test("A bad value is 64, named with what would be right; so is an option that does not exist")
    func badValues() throws {
        try withTemporaryDirectory { folder in
            let wrong = [
                "clustersize=0", "clustersize=257", "clustersize", "blockslack=-1", "filesize=9P9", "filesize=8192P",
                "clusterabend=5", "clustermode=ip", "keepcache=2", "cached=yes", "order=size", "follow=never",
                "direction=up", "settle=0ms", "settle=3",
            ]
            for option in wrong {
                let name = String(option.prefix { $0 != "=" })
                let right = try #require(StreamOptions.expectations[name])
                let result = try spillway(["mount", folder, folder, "-o", option])
                expect(result, exits: 64, naming: ["-o \(option)", right])
            }
            #expect(Set(wrong.map { String($0.prefix { $0 != "=" }) }) == Set(StreamOptions.expectations.keys))
            let unknown = try spillway(["mount", folder, folder, "-o", "ro,clustersice=3"])
            expect(unknown, exits: 64, naming: ["-o clustersice=3", "clustersize"])
        }
    }

    @Test("Missing arguments are 64; a source or mountpoint that is missing or no directory is 66, named")
    func arguments() throws {
        expect(try spillway(["mount"]), exits: 64, naming: ["<source>"])
        expect(try spillway(["mount", "/"]), exits: 64, naming: ["<mountpoint>"])
        expect(try spillway(["mount", "/", "/", "/"]), exits: 64, naming: ["'/'"])
        try withTemporaryDirectory { folder in
            let (missing, file) = ("\(folder)/missing", "\(folder)/file")
            try writeFile(file, [])
            expect(try spillway(["mount", missing, folder]), exits: 66, naming: [missing])
            expect(try spillway(["mount", file, folder]), exits: 66, naming: [file, "no directory"])
            #expect(unsafe mkdir("\(folder)/d", 0o755) == 0)
            expect(try spillway(["mount", "\(folder)/d", missing]), exits: 66, naming: [missing])
            expect(try spillway(["mount", "\(folder)/d", file]), exits: 66, naming: [file, "no directory"])
        }
    }

    @Test("Every example of the help is understood")
    func examples() throws {
        let text = try spillway(["mount", "--help"]).checked().outputText
        let lines = text.split(separator: "\n").map { $0.drop { $0 == " " } }.filter {
            $0.hasPrefix("spillway mount /")
        }
        #expect(lines.count == 2)
        for line in lines {
            // The options are looked at before the directories, which are not there.
            let words = line.split(separator: " ").dropFirst().map { $0.hasPrefix("/") ? "/nowhere\($0)" : String($0) }
            expect(try spillway(words), exits: 66, naming: ["/nowhere/captures"])
        }
    }
}
