import Collector
import Machine
import Options
import Relay
import Tokens

extension CollectorOptions {
    /// The collector's options, with its own defaults for what was not given.
    init(_ options: CollectOptions) throws(Failure) {
        self.init()
        for address in options.listen { listen.append(try Self.endpoint(address, "--listen")) }
        directory = options.out
        rotateSize = options.rotateSize.map(UInt64.init) ?? rotateSize
        rotateTime = options.rotateTime ?? rotateTime
        isDurable = options.acknowledgement == .durable
        if let path = options.tokenFile {
            do throws(TokenFileError) { token = try Token(file: path) } catch { throw Failure(error) }
        }
        for (text, quotation) in options.allow {
            guard let block = Subnet(parsing: text) else {
                throw Failure(
                    .usage,
                    "\(quotation): write addresses such as 192.0.2.0/24 or 2001:db8::/32, with no bits behind the prefix\n"
                        + "See 'spillway help collect'.")
            }
            allow.append(block)
        }
        if let address = options.metrics { metrics = try Self.endpoint(address, "--metrics") }
        // For tests: these are the limits of docs/format.md, and nobody else has reason to change them.
        if let text = Surroundings.environment["SPILLWAY_SILENCE_LIMIT"], let time = Values.time(text) {
            (aliveTime, silenceTime) = (time / 6, time)
        }
        application = "spillway \(spillwayVersion) collect"
    }

    private static func endpoint(_ address: Address, _ option: String) throws(Failure) -> Endpoint {
        do throws(ResolutionError) {
            return try Endpoint.resolve(host: address.host, port: address.port)[0]
        } catch {
            throw Failure(.unavailable, "\(option) \(address): \(error.reason)")
        }
    }
}

extension Failure {
    /// Why a token cannot be used.
    init(_ error: TokenFileError) {
        switch error.kind {
        case .missing: self.init(.noInput, "--token-file: \(error)")
        case .notPermitted: self.init(.notPermitted, "--token-file: \(error)")
        case .failed: self.init(.inputOutput, "--token-file: \(error)")
        case .badContent: self.init(.badData, "--token-file: \(error)")
        }
    }

    /// Why a collector ended.
    init(_ error: CollectorError) {
        switch error {
        case .cannotCreate: self.init(.cannotCreate, "--out \(error)")
        case .cannotListen(let reason):
            self.init(reason.code == 13 ? .notPermitted : .kernel, "\(error)")
        case .inUse: self.init(.unavailable, "--out \(error)")
        case .badState: self.init(.badData, "--out \(error)")
        case .inputOutput: self.init(.inputOutput, "\(error)")
        case .kernel: self.init(.kernel, "\(error)")
        }
    }
}
