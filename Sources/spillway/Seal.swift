import ArgumentParser
import Glibc
import Machine
import Relay
import Sealing

/// `spillway seal`.
struct Seal: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Encrypt a file for its recipients, in the age v1 format.",
        discussion: """
            What is sealed can be served by anybody without the key, as fast as any file, and opened by 'spillway fetch', by \
            'spillway unseal' and by age.

            Examples:
              spillway seal capture.pcapng --to age1... -o capture.pcapng.age
              tcpdump -i eth0 -w - | spillway seal - --to age1... --to age1... -o capture.age

            Exit codes: 0 done, 64 usage, 65 not a recipient, 66 no such input, 73 cannot create output, 74 I/O error.
            """)

    @Argument(help: ArgumentHelp("What is sealed, - is standard input.", valueName: "file"))
    var input: String

    @Option(name: .customLong("to"), help: ArgumentHelp("Who can open it; repeatable.", valueName: "recipient"))
    var recipients: [String]

    @Option(name: .customShort("o"), help: ArgumentHelp("Where it goes, - is standard output.", valueName: "file"))
    var output: String

    func run() throws {
        var known: [AgeRecipient] = []
        for text in recipients {
            do throws(AgeError) { known.append(try AgeRecipient(text)) } catch {
                throw Failure(.badData, "--to: \(error)")
            }
        }
        let streams = try Streams(input, output)
        do throws(AgeError) {
            try Sealing.seal(streams.input, to: streams.output, for: known)
        } catch {
            throw streams.failure(error)
        }
        try streams.complete()
    }
}

/// `spillway unseal`.
struct Unseal: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Open a file in the age v1 format.",
        discussion: """
            Every chunk is checked before a byte of it is written, and the output takes its name only when all of it was good.

            Examples:
              spillway unseal capture.pcapng.age --identity key.txt -o capture.pcapng
              spillway unseal capture.age --identity key.txt -o - | tshark -r -

            Exit codes: 0 done, 64 usage, 65 damaged, changed or sealed for others, 66 no such input,
            73 cannot create output, 74 I/O error.
            """)

    @Argument(help: ArgumentHelp("What is opened, - is standard input.", valueName: "file"))
    var input: String

    @Option(
        name: .customLong("identity"),
        help: ArgumentHelp(
            "A file with identities, as 'spillway keygen' and age-keygen write it; repeatable.", valueName: "key"))
    var identities: [String]

    @Option(name: .customShort("o"), help: ArgumentHelp("Where it goes, - is standard output.", valueName: "file"))
    var output: String

    func run() throws {
        let known = try IdentityFiles.read(identities)
        let streams = try Streams(input, output)
        do throws(AgeError) {
            try Sealing.open(streams.input, to: streams.output, with: known)
        } catch {
            throw streams.failure(error)
        }
        try streams.complete()
    }
}

/// What a file is made from, and the file, which has another name until it is whole.
private final class Streams {
    let input: Int32, output: Int32
    private let inputPath: String, outputPath: String
    /// The name it takes when it is whole; nil where it goes straight into standard output, a device or a pipe.
    private let finalPath: String?
    private let temporaryPath: String?
    private var isComplete = false

    init(_ input: String, _ output: String) throws(Failure) {
        (inputPath, outputPath) = (input == "-" ? "standard input" : input, output)
        finalPath = output == "-" ? nil : OutputPath.replaceable(output)
        temporaryPath = finalPath.map { "\($0).\(String(UInt32.random(in: 0...UInt32.max), radix: 36)).part" }
        if output != "-", Surroundings.isSameFile(output, input) {
            throw Failure(.usage, "-o \(output): that is the input")
        }
        self.input = unsafe input == "-" ? STDIN_FILENO : open(input, O_RDONLY | O_CLOEXEC)
        if self.input < 0 { throw Failure(.noInput, "\(input): \(FileOutput.reason)") }
        var status = stat()
        if unsafe fstat(self.input, &status) == 0, status.st_mode & S_IFMT == S_IFDIR {
            throw Failure(.noInput, "\(input): a directory")
        }
        if let temporaryPath {
            // A name that nobody can have prepared, for nobody else's eyes.
            self.output = unsafe open(temporaryPath, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
        } else {
            self.output = unsafe output == "-" ? STDOUT_FILENO : open(output, O_WRONLY | O_CLOEXEC)
        }
        if self.output < 0 { throw Failure(.cannotCreate, "-o \(output): cannot create: \(FileOutput.reason)") }
    }

    deinit {
        // What is not whole is not left behind.
        if !isComplete, output >= 0, let temporaryPath { _ = unsafe unlink(temporaryPath) }
    }

    func failure(_ error: AgeError) -> Failure {
        if case .notWritten = error { return Failure(.inputOutput, "-o \(outputPath): \(error)") }
        if case .failed = error { return Failure(.inputOutput, "\(inputPath): \(error)") }
        return Failure(.badData, "\(inputPath): \(error)")
    }

    func complete() throws(Failure) {
        isComplete = true
        guard let finalPath, let temporaryPath else { return }
        guard fsync(output) == 0, unsafe rename(temporaryPath, finalPath) == 0 else {
            throw Failure(.inputOutput, "\(outputPath): \(FileOutput.reason)")
        }
    }
}
