import Glibc
import Machine
import Options
import Relay

/// What a command takes from the process's surroundings.
enum Surroundings {
    /// All environment variables.
    static var environment: [String: String] {
        var variables: [String: String] = [:]
        var entry = unsafe environ
        while let text = unsafe entry.pointee {
            let variable = unsafe String(cString: text)
            if let equals = variable.firstIndex(of: "=") {
                variables[String(variable[..<equals])] = String(variable[variable.index(after: equals)...])
            }
            unsafe entry += 1
        }
        return variables
    }

    /// For tests: where the process is to die (CONTRIBUTING.md).
    static func armCrashPoint() throws(Failure) {
        guard let text = environment["SPILLWAY_CRASH_AT"] else { return }
        guard CrashPoint.arm(text) else {
            let names = CrashPoint.allCases.map(\.name).joined(separator: ", ")
            throw Failure(.usage, "SPILLWAY_CRASH_AT=\(text): write NAME:COUNT, with one of the names \(names)")
        }
    }

    /// Takes the places of standard streams that are closed, so that no file or socket of ours lands there and is then
    /// read as standard input or written over as standard output. Opened the wrong way round, they fail when used.
    static func occupyStandardDescriptors() {
        for descriptor in [STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO] where fcntl(descriptor, F_GETFD) < 0 {
            _ = unsafe open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY)
        }
    }

    /// Whether two paths lead to one regular file; `-` is the standard stream given.
    static func isSameFile(_ output: String, _ input: String) -> Bool {
        func status(_ path: String, _ standard: Int32) -> stat? {
            var status = stat()
            let result = unsafe path == "-" ? fstat(standard, &status) : stat(path, &status)
            return result == 0 && status.st_mode & S_IFMT == S_IFREG ? status : nil
        }
        guard let one = status(output, STDOUT_FILENO), let other = status(input, STDIN_FILENO) else { return false }
        return one.st_dev == other.st_dev && one.st_ino == other.st_ino
    }

    /// Why a path cannot be read from; nil if it can.
    static func reasonNotToRead(_ path: String) -> SystemError? {
        unsafe access(path, R_OK) == 0 ? nil : SystemError("open", path)
    }

    /// Whether a path leads to a directory.
    static func isDirectory(_ path: String) -> Bool {
        var status = stat()
        return unsafe stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    /// The host's name.
    static var hostName: String {
        var bytes = [UInt8](repeating: 0, count: 256)
        let status = unsafe bytes.withUnsafeMutableBytes { unsafe gethostname($0.baseAddress!, $0.count - 1) }
        return status == 0 ? String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self) : ""
    }

    /// Whether a configuration file is named.
    static func hasConfiguration<Option: CommandOption>(_ option: Option.Type, _ path: String?) -> Bool {
        path != nil || environment[Option.variable("config")].map { !$0.isEmpty } == true
    }

    /// Why the configuration file cannot be read a second time: a pipe would have somebody wait who must hear signals.
    static func reasonNotToReload<Option: CommandOption>(_ option: Option.Type, _ path: String?) -> String? {
        guard let path = path ?? environment[Option.variable("config")] else { return nil }
        var status = stat()
        guard unsafe stat(path, &status) == 0, status.st_mode & S_IFMT != S_IFREG else { return nil }
        return "--config \(path): no regular file, so it cannot be read again"
    }

    /// The configuration file named on the command line, or else in the environment.
    private static func configuration<Option: CommandOption>(
        _ path: String?, command: String
    ) throws(Failure) -> LayerFile<Option>? {
        let variable = Option.variable("config")
        guard let path = path ?? environment[variable], !path.isEmpty else {
            if path != nil { throw Failure(.usage, "--config: write the path of a YAML file") }
            return nil
        }
        let content = try read(path)
        do throws(OptionError) {
            return try LayerFile(path: path, content: content)
        } catch {
            throw Failure(error, command: command)
        }
    }

    /// The options of a command from all layers, checked.
    static func options<Option: CommandOption, Options>(
        of command: String, given: [Option: [String]], config: String?,
        _ check: (LayeredSettings<Option>) throws(OptionError) -> Options
    ) throws(Failure) -> Options {
        let file: LayerFile<Option>? = try configuration(config, command: command)
        do throws(OptionError) {
            return try check(LayeredSettings(commandLine: given, environment: environment, file: file))
        } catch {
            throw Failure(error, command: command)
        }
    }

    private static func read(_ path: String) throws(Failure) -> [UInt8] {
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw Failure(errno == EACCES ? .notPermitted : .noInput, "--config \(path): \(FileOutput.reason)")
        }
        defer { close(descriptor) }
        var content: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 14)
        while true {
            let count = unsafe chunk.withUnsafeMutableBytes { unsafe Glibc.read(descriptor, $0.baseAddress, $0.count) }
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else { throw Failure(.noInput, "--config \(path): \(FileOutput.reason)") }
            if count == 0 { return content }
            content += chunk[..<count]
            guard content.count <= 1 << 20 else {
                throw Failure(.badData, "--config \(path): over 1 MiB, which is no configuration file")
            }
        }
    }
}
