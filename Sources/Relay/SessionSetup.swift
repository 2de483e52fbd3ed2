internal import Egress
internal import Machine
internal import Tokens
internal import Transfer

extension SessionIdentity {
    /// What this run says of itself to collectors.
    init(_ options: RelayOptions) throws(RelayError) {
        var proofs: Proofs?
        if let path = options.tokenFile {
            let token = try Token(relayFile: path)
            proofs = Proofs(
                make: { token.proof(of: .relay, $0) }, check: { token.isProof($0, of: .collector, $1) })
        }
        self.init(
            sensor: options.name, runsDigest: { Tokens.runsDigest($0) }, challenge: { randomBytes(32) }, proofs: proofs)
    }
}

extension Token {
    fileprivate init(relayFile path: String) throws(RelayError) {
        do throws(TokenFileError) {
            try self.init(file: path)
        } catch {
            let code: ExitCode =
                switch error.kind {
                case .missing: .noInput
                case .notPermitted: .notPermitted
                case .failed: .inputOutput
                case .badContent: .badData
                }
            throw RelayError(code, "--token-file: \(error)")
        }
    }
}

extension RelayOptions {
    /// From where readers may connect.
    func allowedSubnets() throws(RelayError) -> [Subnet] {
        try allow.map { text throws(RelayError) in
            guard let subnet = Subnet(parsing: text) else {
                throw RelayError(
                    .usage,
                    "--allow \(text): write an address, or ADDRESS/BITS with zeros behind the bits, such as 192.0.2.0/24"
                )
            }
            return subnet
        }
    }
}
