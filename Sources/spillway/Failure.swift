import Options
import Relay

/// Why the program ends early: the exit code and a line for people.
struct Failure: Error {
    /// The program's own exit codes; the argument parser has a type of the same name.
    typealias Code = ExitCode

    let code: Int32
    let message: String

    init(_ code: ExitCode, _ message: String) {
        self.code = code.rawValue
        self.message = message
    }

    init(_ error: OptionError, command: String) {
        switch error.kind {
        case .usage: self.init(.usage, "\(error)\nSee 'spillway help \(command)'.")
        case .malformedFile: self.init(.badData, "\(error)")
        }
    }

    init(_ error: RelayError) {
        self.init(error.code, error.message)
    }
}
