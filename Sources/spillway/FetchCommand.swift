import ArgumentParser
import FileService
import Glibc
import Options
import Relay
import Sealing

/// `spillway fetch`.
struct FetchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "fetch",
        abstract: "Fetch a file over HTTP, going on where it broke off, and open it if it is sealed.",
        discussion: """
            What has come so far is in FILE.part; the same command goes on from there, if the original is still the same. With \
            --identity every chunk of a sealed file is checked before it is written, and --range counts the bytes of \
            what is in it: only the chunks they lie in are fetched.

            Examples:
              spillway fetch http://sensor:8080/capture.pcapng
              spillway fetch http://sensor:8080/capture.pcapng.age --identity key.txt -o capture.pcapng
              spillway fetch http://sensor:8080/capture.pcapng.age --identity key.txt --range 1000000-1999999 -o part

            Exit codes: 0 done, 64 usage, 65 damaged, changed or sealed for others, 66 no such file there,
            69 the server is not there, 73 cannot create output, 74 I/O error, 77 not permitted.
            """)

    @Argument(help: ArgumentHelp("http://HOST:PORT/PATH", valueName: "url"))
    var url: String

    @Option(
        name: .customLong("identity"),
        help: ArgumentHelp("A file with identities that open it; repeatable.", valueName: "key"))
    var identities: [String] = []

    @Option(
        name: .customShort("o"), help: ArgumentHelp("Where it goes (default: the URL's last part).", valueName: "file"))
    var output: String?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("Only these bytes: FROM-TO, FROM- or -COUNT, from 0.", valueName: "range"))
    var range: String?

    @Option(help: ArgumentHelp("What the server wants to know (environment: SPILLWAY_TOKEN).", valueName: "text"))
    var token: String?

    @Option(help: ArgumentHelp("Write the final figures as JSON, - is standard output.", valueName: "file"))
    var report: String?

    func run() throws {
        let job = try understood()
        let file = try report.map { path throws(Failure) in try FileOutput(path) }
        let console = Console.standard
        let outcome: Fetch.Outcome
        do throws(FetchError) {
            var line = ProgressLine()
            outcome = try job.run { done, total in
                if console.isTerminal, let text = line.text(done, of: total) { console.show(text) }
            }
        } catch {
            console.show("")
            throw Failure(error)
        }
        console.show("")
        console.say("\(job.output): \(outcome.bytes) bytes, \(outcome.resumed) of them from before")
        try file?.write(
            """
            {
              "bytes": \(outcome.bytes),
              "resumed": \(outcome.resumed),
              "received": \(outcome.received),
              "chunks": \(outcome.chunks),
              "connections": \(outcome.connections)
            }

            """)
    }

    private func understood() throws(Failure) -> Fetch {
        let address: HTTPAddress
        do throws(FetchError) { address = try HTTPAddress(url) } catch { throw Failure(error) }
        guard let output = output ?? address.fileName else {
            throw Failure(.usage, "\(url): no name for the file; give -o FILE")
        }
        var job = Fetch(address, output: output)
        if let range {
            guard let bytes = Fetch.Bytes(range) else {
                throw Failure(.usage, "--range \(range): write FROM-TO, FROM- or -COUNT, such as 0-65535")
            }
            job.bytes = bytes
        }
        job.identities = try IdentityFiles.read(identities)
        job.token = token ?? Surroundings.environment["SPILLWAY_TOKEN"].flatMap { $0.isEmpty ? nil : $0 }
        guard job.token?.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) ?? true else {
            throw Failure(.usage, "--token: visible characters without blanks")
        }
        return job
    }
}

extension Fetch.Bytes {
    /// Understands `FROM-TO`, `FROM-` and `-COUNT`.
    init?(_ text: String) {
        let ends = text.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        guard ends.count == 2 else { return nil }
        let numbers = ends.map(Values.count)
        switch (ends[0].isEmpty, ends[1].isEmpty) {
        case (true, false):
            guard let count = numbers[1], count > 0 else { return nil }
            self = .last(count)
        case (false, true):
            guard let first = numbers[0] else { return nil }
            self = .from(first, to: nil)
        case (false, false):
            guard let first = numbers[0], let last = numbers[1], first <= last else { return nil }
            self = .from(first, to: last)
        case (true, true): return nil
        }
    }
}

extension Failure {
    init(_ error: FetchError) {
        switch error.kind {
        case .address: self.init(.usage, "\(error)")
        case .connection: self.init(.unavailable, "\(error)")
        case .status(404): self.init(.noInput, "\(error)")
        case .status(401), .status(403): self.init(.notPermitted, "\(error)")
        case .status(416): self.init(.usage, "\(error)")
        case .status: self.init(.unavailable, "\(error)")
        case .data: self.init(.badData, "\(error)")
        case .output: self.init(.cannotCreate, "\(error)")
        }
    }
}
