internal import CBPF
internal import Glibc
internal import Machine

/// An Ethernet interface of this network namespace.
struct Link {
    let name: String
    let index: UInt32
    /// Its hardware address.
    let address: [UInt8]
    /// The interface it is tied to, if it is one of a pair.
    let peer: UInt32?
    /// Whether that one is in another network namespace, out of reach.
    let isPeerElsewhere: Bool

    /// IFF_UP (netdevice(7)).
    private static var up: UInt32 { 1 }

    /// Looks the interface up.
    init(_ name: String) throws(GeneratorError) {
        self.name = name
        index = unsafe if_nametoindex(name)
        guard index != 0 else { throw .noSuchInterface(name) }
        let link = try Self.ask(index, name)
        guard link.kind == 1 else {
            throw .cannotTransmit(name, reason: "this is no Ethernet interface, and others are not supported")
        }
        guard link.flags & Self.up != 0 else { throw .isDown(name) }
        address = unsafe withUnsafeBytes(of: link.address) { unsafe Array($0) }
        peer = link.peer == 0 || link.peer == index ? nil : link.peer
        isPeerElsewhere = link.is_peer_elsewhere
    }

    /// The name of the interface it is tied to, if that one is in this network namespace.
    var peerName: String? {
        guard let peer, !isPeerElsewhere else { return nil }
        var name = [CChar](repeating: 0, count: Int(IF_NAMESIZE))
        guard unsafe if_indextoname(peer, &name) != nil else { return nil }
        return String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// Finds out why frames do not get out any more, if the interface is the cause.
    func check() throws(GeneratorError) {
        let link = try Self.ask(index, name)
        guard link.flags & Self.up != 0 else { throw .isDown(name) }
    }

    private static func ask(_ index: UInt32, _ name: String) throws(GeneratorError) -> spillway_link {
        var link = spillway_link()
        let status = unsafe spillway_link_get(Int32(index), &link)
        if status == ENODEV { throw .removed(name) }
        guard status == 0 else { throw .refused(SystemError("RTM_GETLINK", name, code: status)) }
        return link
    }
}
