internal import CXDP
import Glibc

/// Stamps of packets by the card's own clock: switched on where the driver can, and as before afterwards.
struct CardStamps: ~Copyable {
    /// Whether the card stamps every packet it receives.
    let areMade: Bool
    private let interface: Int32
    private let socket: OwnedDescriptor
    private var before = spillway_card_stamps()

    /// Asks the driver, if they are wanted.
    init(interface: Int32, isWanted: Bool) {
        self.interface = interface
        socket = OwnedDescriptor(spillway_xdp_control_socket())
        areMade = unsafe isWanted && spillway_xdp_stamp_in_card(socket.number, interface, &before) == 0
    }

    deinit {
        var before = before
        unsafe spillway_xdp_restore_stamps(socket.number, interface, &before)
    }
}
