import FileSystem
import Relay

extension Failure {
    /// Why a directory is not mounted.
    init(_ error: MountError) {
        let code: ExitCode =
            switch error.kind {
            case .usage: .usage
            case .noInput: .noInput
            case .kernel: .kernel
            case .notPermitted: .notPermitted
            }
        self.init(code, error.kind == .usage ? "\(error)\nSee 'spillway help mount'." : "\(error)")
    }
}
