internal import Capture
internal import Pcapng

/// Capture files as input.
extension WireReplay {
    /// Goes through one input; what is wrong with it is noted, and the packets before that are sent.
    mutating func play(_ path: String) {
        do throws(CaptureFileError) {
            var file = try CaptureFile(path: path)
            try play(&file)
        } catch {
            note("\(error)")
        }
    }

    private mutating func play(_ file: inout CaptureFile) throws(CaptureFileError) {
        var kinds: [InterfaceKind] = []
        var isFirst = true
        while goesOn {
            switch pump(&file, kinds, &isFirst) {
            case .packet: return
            case .interface: kinds.append(InterfaceKind(file.takeInterface()))
            case .refill: try file.refill()
            case .damaged: throw file.error!
            case .end: return
            }
        }
    }

    /// What counts of an interface.
    struct InterfaceKind {
        var isEthernet: Bool
        var checkBytes: Int

        init(_ description: InterfaceDescription) {
            isEthernet = description.linkType.value == 1
            checkBytes = Int(description.frameCheckOctets ?? 0)
        }
    }

    /// Sends packets until something else is to be done; `packet` when nothing more is to be sent.
    private mutating func pump(
        _ file: inout CaptureFile, _ kinds: [InterfaceKind], _ isFirst: inout Bool
    ) -> CaptureFile.Event {
        while true {
            let event = file.next()
            guard case .packet = event else { return event }
            let header = file.packet
            let place = Int(header.interface)
            let kind = place < kinds.count ? kinds[place] : nil
            let packet = Packet(
                time: header.time, captured: Int(header.captured), original: Int(header.original),
                isEthernet: kind?.isEthernet ?? false, checkBytes: kind?.checkBytes ?? 0, isFirstOfFile: isFirst)
            isFirst = false
            guard unsafe send(packet, file.packetBytes.baseAddress!) else { return .packet }
        }
    }
}
