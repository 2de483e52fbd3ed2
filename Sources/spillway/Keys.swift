import ArgumentParser
import Glibc
import Options
import Relay
import Sealing

/// `spillway keygen`.
struct Keygen: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Make a key for sealed files, in the form of age.",
        discussion: """
            The file is an identity: whoever has it opens what was sealed for its recipient, which is printed. It is readable \
            by nobody else, and is never written over.

            Examples:
              spillway keygen -o key.txt
              spillway seal capture.pcapng --to age1... -o capture.pcapng.age

            Exit codes: 0 done, 64 usage, 73 the file is there already or cannot be made, 74 output error.
            """)

    @Option(
        name: .customShort("o"), help: ArgumentHelp("Where the identity goes, - is standard output.", valueName: "file")
    )
    var output: String

    func run() throws {
        let identity = AgeIdentity()
        let text = "# recipient: \(identity.recipient)\n\(identity.secret)\n"
        guard output != "-" else {
            guard FileOutput.writeAll(Array(text.utf8), to: STDOUT_FILENO) else {
                throw Failure(.inputOutput, "standard output: \(FileOutput.reason)")
            }
            return
        }
        let descriptor = unsafe open(output, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw Failure(.cannotCreate, "-o \(output): cannot create: \(FileOutput.reason)") }
        defer { close(descriptor) }
        guard FileOutput.writeAll(Array(text.utf8), to: descriptor), fsync(descriptor) == 0 else {
            throw Failure(.inputOutput, "\(output): \(FileOutput.reason)")
        }
        FileOutput.writeAll(Array("\(identity.recipient)\n".utf8), to: STDOUT_FILENO)
    }
}

/// The identities of files given on a command line.
enum IdentityFiles {
    static func read(_ paths: [String]) throws(Failure) -> [AgeIdentity] {
        var found: [AgeIdentity] = []
        for path in paths {
            let text = try text(path)
            do throws(AgeError) { found += try AgeIdentity.all(in: text) } catch {
                throw Failure(.badData, "--identity \(path): \(error)")
            }
        }
        return found
    }

    private static func text(_ path: String) throws(Failure) -> String {
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw Failure(.noInput, "--identity \(path): \(FileOutput.reason)") }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 1 << 20)
        let count = unsafe Glibc.read(descriptor, &bytes, bytes.count)
        guard count >= 0 else { throw Failure(.noInput, "--identity \(path): \(FileOutput.reason)") }
        return String(decoding: bytes[..<count], as: UTF8.self)
    }
}
