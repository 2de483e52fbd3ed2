/// What is wrong with a value that consists of several parts.
struct SpecificationError: Error {
    let reason: String

    init(_ reason: String) { self.reason = reason }
}

/// A target with settings after it: `TARGET,key=value,key=value`.
struct Specification {
    /// What stands before the first comma.
    let target: String
    private let settings: [(key: String, value: String)]

    init(_ text: String) throws(SpecificationError) {
        let parts = text.split(separator: ",", omittingEmptySubsequences: false)
        target = String(parts[0])
        var settings: [(String, String)] = []
        for part in parts.dropFirst() {
            guard let equals = part.firstIndex(of: "=") else {
                throw SpecificationError("'\(part)' after the address is no setting; write KEY=VALUE")
            }
            settings.append((String(part[..<equals]), String(part[part.index(after: equals)...])))
        }
        self.settings = settings
    }

    /// The settings by key, if each is one of `keys` and there at most once.
    func values(of keys: [String]) throws(SpecificationError) -> [String: String] {
        var values: [String: String] = [:]
        for (key, value) in settings {
            guard keys.contains(key) else {
                throw SpecificationError("'\(key)' is no setting of it; use \(keys.joined(separator: ", "))")
            }
            guard values.updateValue(value, forKey: key) == nil else {
                throw SpecificationError("\(key) is there twice; give it once")
            }
        }
        return values
    }
}
