import Glibc

/// The options of a benchmark program: pairs of `--name value`, all with defaults.
public struct Options {
    private let usage: String
    private var values: [String: String] = [:]

    /// Reads the command line; anything that is not one of `names` ends the program with status 64.
    public init(_ names: [String], usage: String) {
        self.usage = usage
        var rest = CommandLine.arguments.dropFirst()
        while let name = rest.popFirst() {
            guard name.hasPrefix("--"), names.contains(String(name.dropFirst(2))), let value = rest.popFirst()
            else { Options.stop(usage) }
            values[String(name.dropFirst(2))] = value
        }
    }

    /// A whole number within limits.
    public func number(_ name: String, default fallback: Int, in range: ClosedRange<Int>) -> Int {
        guard let text = values[name] else { return fallback }
        guard let value = Int(text), range.contains(value) else {
            Options.stop("--\(name): \(text) is not a number from \(range.lowerBound) to \(range.upperBound)")
        }
        return value
    }

    /// CPU numbers separated by commas.
    public func cpus(_ name: String, default fallback: [Int]) -> [Int] {
        guard let text = values[name] else { return fallback }
        let numbers = text.split(separator: ",").compactMap { Int($0) }
        guard numbers.count == fallback.count, numbers.allSatisfy({ 0...1023 ~= $0 }) else {
            Options.stop("--\(name): \(text) is not a list of \(fallback.count) CPU numbers")
        }
        return numbers
    }

    /// `on` or `off`.
    public func flag(_ name: String, default fallback: Bool) -> Bool {
        switch values[name] {
        case nil: return fallback
        case "on": return true
        case "off": return false
        case let text?: Options.stop("--\(name): \(text) is neither on nor off")
        }
    }

    /// A path, nil if it is not given.
    public func text(_ name: String) -> String? { values[name] }

    /// Ends the program with a message on stderr and status 64 (usage).
    public static func stop(_ message: String) -> Never {
        var text = message + "\n"
        _ = text.withUTF8 { unsafe write(2, $0.baseAddress, $0.count) }
        exit(64)
    }
}

/// Prints one figure as `name value unit`.
public func report(_ name: String, _ value: Double, _ unit: String) {
    // Six significant digits are more than a measurement has.
    let digits = max(0, 5 - Int(log10(max(abs(value), 1e-9)).rounded(.down)))
    let scale = pow(10, Double(min(digits, 9)))
    print(name, (value * scale).rounded() / scale, unit)
}

/// Prints one count as `name value unit`.
public func report(_ name: String, _ value: Int, _ unit: String) {
    print(name, value, unit)
}
