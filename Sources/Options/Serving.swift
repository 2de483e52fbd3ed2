/// `run --serve`: `ADDR:PORT[,dir=DIR]`.
public struct Serving: Sendable, Equatable {
    /// Where clients connect.
    public let address: Address
    /// What is served, and nothing outside it.
    public let directory: String

    /// Parses it; the error is a sentence about what is wrong with it.
    ///
    /// - Parameter cache: the directory of the spill cache, which is served where none is named.
    init(parsing text: String, cache: String?) throws(SpecificationError) {
        let specification = try Specification(text)
        guard let address = Address.listening(specification.target) else {
            throw SpecificationError(
                "'\(specification.target)' is no address to listen on; write ADDR:PORT,dir=DIR, such as "
                    + "127.0.0.1:8080,dir=/var/captures")
        }
        let values = try specification.values(of: ["dir"])
        guard let directory = values["dir"] ?? cache, !directory.isEmpty, !directory.utf8.contains(0) else {
            throw SpecificationError("say what is served: write ADDR:PORT,dir=DIR, or give --spill DIR")
        }
        self.address = address
        self.directory = directory
    }
}

extension Settings {
    func serving() throws(OptionError) -> Serving? {
        guard let setting = last(.serve) else { return nil }
        let cache = try plainPath(.spill)
        do throws(SpecificationError) {
            return try Serving(parsing: setting.text, cache: cache)
        } catch {
            throw OptionError("\(setting.quotation): \(error.reason)")
        }
    }
}
