import ArgumentParser
import Distribution
import Machine
import Options
import Relay
import Tokens

// The options of `spillway receive`, in the groups in which the help shows them, and what they mean to the receiver.

struct FileReceivingArguments: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Wait here for senders; the port is 57013 if none is given (several allowed).", valueName: "addr:port"))
    var listen: [String] = []

    @Option(help: ArgumentHelp("The directory of the files; it is made if it is not there.", valueName: "dir"))
    var out: String?

    @Option(
        help: ArgumentHelp(
            "Let only these addresses connect, such as 192.0.2.0/24 (several allowed).", valueName: "cidr"))
    var allow: [String] = []

    @Option(
        name: .customLong("token-file"),
        help: ArgumentHelp("Take only senders that have the same token: a file of 32 random bytes.", valueName: "file"))
    var tokenFile: String?

    @Flag(
        name: .customLong("pass-on"),
        help: "Pass on to other receivers what senders want passed on; those with a token may in any case.")
    var passOn = false

    @Option(help: ArgumentHelp("Close a connection that is silent for so long (default: 60s).", valueName: "time"))
    var timeout: String?

    @Flag(help: "Have each file on disk before its sender is told that it is whole.")
    var sync = false

    @Flag(help: "End when the first sender has sent everything.")
    var once = false
}

extension Receive {
    /// What the command line gives for each option.
    var given: [ReceiveOption: [String]] {
        let values: [ReceiveOption: String?] = [
            .out: receiving.out, .tokenFile: receiving.tokenFile, .timeout: receiving.timeout,
            .passOn: receiving.passOn ? "true" : nil,
            .sync: receiving.sync ? "true" : nil, .once: receiving.once ? "true" : nil, .report: result.report,
        ]
        var given = values.compactMapValues { $0.map { [$0] } }
        given[.listen] = receiving.listen
        given[.allow] = receiving.allow
        return given
    }
}

extension ReceiveOptions {
    /// The receiver's options, with its own defaults for what was not given.
    init(_ settings: ReceiveSettings) throws(Failure) {
        var listen: [Endpoint] = []
        for address in settings.listen {
            do throws(ResolutionError) {
                listen.append(try Endpoint.resolve(host: address.host, port: address.port)[0])
            } catch {
                throw Failure(.unavailable, "--listen \(address): \(error.reason)")
            }
        }
        self.init(listen: listen, directory: settings.out)
        if let path = settings.tokenFile {
            do throws(TokenFileError) { token = try Token(file: path) } catch { throw Failure(error) }
        }
        for (text, quotation) in settings.allow {
            guard let block = Subnet(parsing: text) else {
                throw Failure(
                    .usage,
                    "\(quotation): write addresses such as 192.0.2.0/24 or 2001:db8::/32, with no bits behind the prefix\n"
                        + "See 'spillway help receive'.")
            }
            allow.append(block)
        }
        timeout = settings.timeout ?? timeout
        passesOn = settings.passOn ?? false
        isDurable = settings.sync ?? false
        endsAfterFirst = settings.once ?? false
    }
}

extension Failure {
    /// Why a receiver ended.
    init(_ error: ReceiveError) {
        switch error {
        case .cannotCreate: self.init(.cannotCreate, "--out \(error)")
        case .cannotListen(let reason): self.init(reason.code == 13 ? .notPermitted : .kernel, "\(error)")
        case .inUse: self.init(.unavailable, "--out \(error)")
        case .kernel: self.init(.kernel, "\(error)")
        case .notReceived: self.init(.inputOutput, "\(error)")
        }
    }
}
