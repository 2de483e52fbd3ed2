import Glibc
import Options
import TestSupport
import Testing

@Suite("The command serve")
struct ServeTests {
    @Test("What is wrong with the options is said, with the exit code for it")
    func exits() throws {
        try withTemporaryDirectory { folder in
            let listen = ["--listen", "127.0.0.1:0"]
            let cases: [([String], Int32, String)] = [
                ([folder], 64, "--listen"), (listen, 64, "<dir>"),
                ([folder, "--listen", "nonsense"], 64, "--listen nonsense"),
                (["\(folder)/none"] + listen, 66, "none"), ([folder, "--listen", "192.0.2.1:1"], 69, "192.0.2.1:1"),
                ([folder] + listen + ["--method", "magic"], 64, "--method magic"),
                ([folder] + listen + ["--token", "short"], 64, "--token"),
                ([folder] + listen + ["--rate", "10Kpps"], 64, "--rate 10Kpps"),
                ([folder] + listen + ["--copy-below", "1M"], 64, "--copy-below 1M"),
                ([folder] + listen + ["--access-log", "\(folder)/none/log"], 73, "--access-log"),
                ([folder] + listen + ["--report", "\(folder)/none/report"], 73, "--report"),
                ([folder] + listen + ["--config", "\(folder)/none.yaml"], 66, "--config"),
            ]
            for (arguments, code, word) in cases {
                expect(try spillway(["serve"] + arguments), exits: code, naming: [word])
            }
        }
    }

    @Test("It serves until it is told to end, then says what it did", arguments: [SIGTERM, SIGINT])
    func life(signal: Int32) throws {
        try requireTool("curl")
        try withTemporaryDirectory { folder in
            try writeFile("\(folder)/a.pcap", Array("content".utf8))
            try writeFile(
                "\(folder)/.serve.yaml", Array("listen: [\"127.0.0.1:0\", \"[::1]:0\"]\ntoken: correct-horse\n".utf8))
            let report = "\(folder)/.report"
            let arguments = [
                "serve", folder, "--config", "\(folder)/.serve.yaml", "--report", report, "--metrics", "127.0.0.1:0",
            ]
            try withChild(builtExecutable("spillway"), arguments) { child in
                try child.waitUntil { _, errors in errors.split(separator: "serving ").count == 3 }
                let addresses = child.errorText.split(whereSeparator: \.isWhitespace).filter { $0.hasPrefix("http://") }
                #expect(addresses.count == 3)
                for address in addresses where !address.hasSuffix("/metrics") {
                    let fields = ["-sSf", "-H", "Authorization: Bearer correct-horse", "\(address)a.pcap"]
                    #expect(try run("curl", fields).checked().outputText == "content")
                }
                let metrics = try #require(addresses.first { $0.hasSuffix("/metrics") })
                let text = try run("curl", ["-sSf", String(metrics)]).checked().outputText
                #expect(text.contains("spillway_serve_requests_total 2\n"))
                child.send(signal: signal)
                #expect(try child.wait().status == .exited(0))
            }
            let text = String(decoding: try readFile(report), as: UTF8.self)
            #expect(text.contains("\"responses_2xx\": 2,"))
        }
    }
}
