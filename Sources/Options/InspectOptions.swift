/// Every option of `spillway inspect` that has a value, or is one.
public enum InspectOption: String, CommandOption {
    case check, repair, json
    case export
    case report

    /// As people know it on the command line.
    public var spelling: String { "--\(rawValue)" }

    /// One thing is done at a time.
    public static var oneChoice: Set<InspectOption> { [.check, .repair, .export] }
}

/// What `spillway inspect` was told, each value understood.
public struct InspectOptions: Sendable {
    /// What is done with the cache beside showing it.
    public enum Task: Sendable, Equatable {
        /// Footers are read.
        case show
        /// Every byte is checked.
        case check
        /// Damaged and unsealed files are made whole.
        case repair
        /// All packets go into one file.
        case export(String)
    }

    /// What is done.
    public var task: Task
    /// Whether what is shown is JSON.
    public var isJSON: Bool
    /// Where the same goes as JSON; `-` is standard output.
    public var report: String?

    /// Understands and checks all values.
    public init(_ settings: LayeredSettings<InspectOption>) throws(OptionError) {
        var tasks: [(String, Task)] = []
        if try settings.flag(.check) == true { tasks.append(("--check", .check)) }
        if try settings.flag(.repair) == true { tasks.append(("--repair", .repair)) }
        if let path = try settings.plainPath(.export) { tasks.append(("--export", .export(path))) }
        guard tasks.count <= 1 else {
            let names = tasks.map(\.0).joined(separator: " and ")
            throw OptionError("\(names): one at a time; --repair and --export check what they read")
        }
        task = tasks.first?.1 ?? .show
        isJSON = try settings.flag(.json) ?? false
        report = try settings.path(.report)
        if isJSON, report == "-" {
            throw OptionError("--json and --report -: both go to standard output; leave one out")
        }
    }
}
