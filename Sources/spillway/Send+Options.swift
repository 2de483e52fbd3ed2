import Distribution
import Machine
import Options
import Relay
import Tokens

extension SendOptions {
    /// The sender's options, with its own defaults for what was not given.
    init(_ settings: SendSettings) throws(Failure) {
        self.init()
        rate = settings.rate.map(UInt64.init) ?? rate
        peerRate = settings.peerRate.map(UInt64.init) ?? peerRate
        timeout = settings.timeout ?? timeout
        if let path = settings.tokenFile {
            do throws(TokenFileError) { token = try Token(file: path) } catch { throw Failure(error) }
        }
    }
}

extension Failure {
    /// Why nothing can be sent.
    init(_ error: SendError) {
        switch error {
        case .missing: self.init(.noInput, "\(error)")
        case .notPermitted: self.init(.notPermitted, "\(error)")
        case .unsuitable: self.init(.badData, "\(error)")
        case .inputOutput: self.init(.inputOutput, "\(error)")
        case .kernel: self.init(.kernel, "\(error)")
        }
    }
}

extension SendReport {
    /// The exit code if not everybody has everything, and lines that say why.
    var verdict: (ExitCode?, [String]) {
        var lines = failures
        var code: ExitCode? = failures.isEmpty ? nil : .inputOutput
        for peer in peers where peer.state != .done || peer.filesFailed > 0 {
            lines.append("\(peer.address): \(peer.error ?? "not finished")")
            if peer.state != .done { code = .unavailable } else { code = code ?? .cannotCreate }
        }
        return (code, lines)
    }
}

extension PeerStatus {
    /// One line at the end.
    var summary: String {
        let again = resentPieces == 0 ? "" : ", \(resentPieces) damaged pieces sent again"
        return "\(address): \(state.rawValue), \(filesDone) files, \(acknowledgedBytes) bytes verified, "
            + "\(sentBytes) sent\(again)"
    }

    /// A few words while it goes on.
    fileprivate var words: String {
        let share = totalBytes == 0 ? 100 : acknowledgedBytes * 100 / totalBytes
        let left = secondsLeft.map { ", \(Int($0.rounded(.up))) s left" } ?? ""
        return "\(address) \(share) % at \(Int(rate / 1_048_576)) MiB/s\(left)"
    }
}

extension [PeerStatus] {
    /// The status line.
    var line: String { map(\.words).joined(separator: "  ") }
}
