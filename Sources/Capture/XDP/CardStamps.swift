internal import CXDP
import Glibc

/// Stamps of packets by the card's own clock: switched on where the driver can, and as before afterwards.
struct CardStamps: ~Copyable {
    /// Whether the card stamps every packet it receives.
    let areMade: Bool
    private let name: String
    private let socket: OwnedDescriptor
    private var before = spillway_card_stamps()

    /// Asks the driver, if they are wanted.
    init(_ name: String, isWanted: Bool) {
        self.name = name
        socket = OwnedDescriptor(Glibc.socket(AF_INET, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0))
        areMade = unsafe isWanted && spillway_xdp_stamp_in_card(socket.number, name, &before) == 0
    }

    deinit {
        var before = before
        unsafe spillway_xdp_restore_stamps(socket.number, name, &before)
    }
}
