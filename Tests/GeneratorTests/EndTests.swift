import Glibc
import TestSupport
import Testing

@Suite("How generating ends when it cannot go on", .serialized)
struct EndTests {
    private func expect(
        _ arguments: [String], in space: NetworkNamespace, exits code: Int32, naming words: [String]
    ) throws {
        let command = try generate(space, arguments)
        let result = try run(command.tool, command.arguments)
        #expect(result.status == .exited(code), "\(result.commandLine)\n\(result.errorText)")
        for word in words { #expect(result.errorText.contains(word), "\(word) in \(result.errorText)") }
        #expect(result.output.isEmpty)
    }

    @Test("66: no such interface; 71: down, no Ethernet, or a driver that takes no frames; 64: larger than it takes")
    func interfaces() throws {
        try withNetworkNamespace { space in
            try expect(["-i", "nowhere0"], in: space, exits: 66, naming: ["-i nowhere0", "no such interface"])
            try expect(["-i", "lo"], in: space, exits: 71, naming: ["-i lo", "Ethernet"])
            try expect(
                ["-i", "left", "--size", "2000"], in: space, exits: 64, naming: ["-i left", "2000 bytes", "larger"])
            try space.ip("link", "set", "left", "down")
            try expect(["-i", "left"], in: space, exits: 71, naming: ["-i left", "down"])
        }
    }

    @Test("71: a peer in another namespace cannot be helped, and the message says what would; with it, it works")
    func elsewhere() throws {
        try requireTool("ethtool")
        try withNetworkNamespace { space in
            try withNetworkNamespace { other in
                try space.ip("link", "add", "near", "type", "veth", "peer", "name", "far", "netns", other.name)
                try space.ip("link", "set", "near", "up")
                try other.ip("link", "set", "far", "up")
                let job = ["-i", "near", "-c", "10"]
                try expect(job, in: space, exits: 71, naming: ["-i near", "another network namespace", "gro on"])
                let command = other.inside("ethtool", ["-K", "far", "gro", "on"])
                try run(command.tool, command.arguments).checked()
                try expect(job, in: space, exits: 0, naming: ["10 frames sent"])
            }
        }
    }

    @Test("71: a peer that has a program in front of its stack cannot be helped, and the message says what would")
    func generic() throws {
        for tool in ["clang", "ethtool"] { try requireTool(tool) }
        try withNetworkNamespace { space in
            try withTemporaryDirectory { folder in
                let source = """
                    __attribute__((section("xdp"), used)) int other(void *context) { return 2; }
                    __attribute__((section("license"), used)) char terms[] = "GPL";
                    """
                try writeFile("\(folder)/other.c", Array(source.utf8))
                try run(
                    "clang", ["-target", "bpf", "-O2", "-c", "\(folder)/other.c", "-o", "\(folder)/other.o"]
                ).checked()
                try space.ip("link", "set", "right", "xdpgeneric", "obj", "\(folder)/other.o", "sec", "xdp")
                let job = ["-i", "left", "-c", "10"]
                try expect(job, in: space, exits: 71, naming: ["-i left", "peer right", "ethtool -K right gro on"])
                let command = space.inside("ethtool", ["-K", "right", "gro", "on"])
                try run(command.tool, command.arguments).checked()
                try expect(job, in: space, exits: 0, naming: ["10 frames sent"])
            }
        }
    }

    @Test("77: without the capabilities, which are named")
    func notPermitted() throws {
        try requireTool("setpriv")
        try withNetworkNamespace { space in
            let program = try builtExecutable("spillway")
            let command = space.inside(
                "setpriv", ["--bounding-set=-all", "--inh-caps=-all", program, "generate", "-i", "left", "-c", "1"])
            let result = try run(command.tool, command.arguments)
            #expect(result.status == .exited(77))
            for word in ["-i left", "CAP_NET_ADMIN", "CAP_BPF"] { #expect(result.errorText.contains(word)) }
        }
    }

    @Test("66: the interface is removed meanwhile; the account is still given")
    func removed() throws {
        try withNetworkNamespace { space in
            let command = try generate(space, ["-i", "left", "--rate", "1Kpps", "--report", "-"])
            let child = try ChildProcess(command.tool, command.arguments)
            let statistics = space.inside("cat", ["/proc/net/dev"])
            try waitUntil("packets arrive") {
                let lines = try run(statistics.tool, statistics.arguments).checked().outputLines
                let right = lines.first { $0.contains("right:") }?.split(separator: " ") ?? []
                return right.count > 2 && (Int(right[2]) ?? 0) > 50
            }
            try space.ip("link", "del", "right")
            let result = try child.wait()
            #expect(result.status == .exited(66), "\(result.errorText)")
            #expect(result.errorText.contains("-i left") && result.errorText.contains("removed"))
            #expect(result.outputText.contains("\"sent\": "))
        }
    }

    @Test("Killed, it leaves no program behind, and the next one works")
    func killed() throws {
        try withNetworkNamespace { space in
            let command = try generate(space, ["-i", "left", "--rate", "1Kpps"])
            let child = try ChildProcess(command.tool, command.arguments)
            func hasProgram() throws -> Bool { try space.ip("link", "show", "right").outputText.contains("xdp") }
            try waitUntil("the helper is there", hasProgram)
            child.send(signal: SIGKILL, toGroup: true)
            _ = try child.wait()
            try waitUntil("the helper is gone") { try !hasProgram() }
            try expect(["-i", "left", "-c", "100"], in: space, exits: 0, naming: ["100 frames sent"])
        }
    }
}
