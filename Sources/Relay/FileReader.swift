internal import Capture
internal import Glibc
internal import Machine
internal import Pcapng

/// The capture thread over files: reads one after the other and puts every packet, as fast as the pace and the pool
/// allow. Nothing is dropped here; when there is no room it waits.
struct FileReader: ~Copyable {
    let paths: [String]
    let gate: LinkTypeGate
    let counters: Counters
    let stops: StopFlags
    let ready: StopFlag
    let progress: FileProgress
    var sink: PacketSink
    private var pacer: Pacer
    private var interfaces: InterfaceMap
    private let ids: InterfaceIDs
    /// The packet the file stands at has not been put yet, and when it is due.
    private var hasPending = false
    private var due: UInt64 = 0

    /// Why the inner loop came back.
    private enum Pause: UInt8 {
        case burst, refill, interface, damaged, end, full, early, foreign
    }

    init(
        paths: [String], gate: LinkTypeGate, counters: Counters, stops: StopFlags, ready: StopFlag,
        progress: FileProgress, interfaces: InterfaceMap, sink: consuming PacketSink, pace: RelayOptions.Pace
    ) {
        (self.paths, self.gate, self.counters, self.stops, self.ready) = (paths, gate, counters, stops, ready)
        (self.progress, self.interfaces, ids) = (progress, interfaces, interfaces.ids)
        self.sink = sink
        pacer = Pacer(pace)
    }

    /// Refuses files that cannot be opened before anything else happens.
    static func check(_ options: RelayOptions) throws(RelayError) {
        for case .file(let path) in options.inputs where path != "-" {
            guard unsafe access(path, R_OK) != 0 else { continue }
            throw RelayError(CaptureFileError.cannotOpen(SystemError("open", path)))
        }
    }

    /// Reads all files and returns what was wrong with them; damage ends the reading of that file only.
    mutating func run() -> [RelayError] {
        var problems: [RelayError] = []
        while !ready.isSet, !stops.isSet { Clock.sleep(nanoseconds: 5_000_000) }
        for path in paths where !stops.isSet {
            do throws(RelayError) { try read(path) } catch { problems.append(error) }
        }
        sink.finish(stops)
        counters.publish()
        return problems
    }

    private mutating func read(_ path: String) throws(RelayError) {
        var file = try open(path)
        interfaces.removeAll()
        hasPending = false
        progress.begin(file.path, total: file.totalBytes)
        while !stops.isSet {
            sink.beginBurst()
            let pause = pump(&file)
            sink.endBurst()
            counters.publish()
            progress.update(file.consumedBytes)
            switch pause {
            case .burst: break
            case .refill: try refill(&file)
            case .interface: try admit(&file)
            case .foreign: try settle(&file)
            // Short beside the time in which a segment becomes free.
            case .full: Clock.sleep(nanoseconds: 100_000)
            case .early: hold()
            case .damaged: throw RelayError(file.error!)
            case .end: return try settleEmpty(file)
            }
        }
    }

    private func open(_ path: String) throws(RelayError) -> CaptureFile {
        do throws(CaptureFileError) { return try CaptureFile(path: path) } catch { throw RelayError(error) }
    }

    // ---- the data plane ------------------------------------------------------------------------------------------

    /// Puts packets until something else is to be done.
    @_noLocks private mutating func pump(_ file: inout CaptureFile) -> Pause {
        var left = 256
        while left > 0 {
            if !hasPending {
                switch file.next() {
                case .packet: break
                case .interface: return .interface
                case .refill: return .refill
                case .damaged: return .damaged
                case .end: return .end
                }
                hasPending = true
                if pacer.isOn {
                    due = pacer.due(time: file.packet.time, bytes: file.packet.original, now: Clock.monotonic())
                }
            }
            if pacer.isOn, due > Clock.monotonic() { return .early }
            let packet = file.packet
            let bytes = unsafe file.packetBytes.baseAddress!
            guard let id = unsafe ids.id(packet.interface, bytes, captured: packet.captured) else {
                return .foreign
            }
            let arrived = Arrived(
                time: packet.time, interface: id, captured: packet.captured, original: packet.original)
            guard unsafe sink.put(arrived, bytes) else { return .full }
            hasPending = false
            counters.add(.captured)
            left -= 1
        }
        return .burst
    }

    // ---- the control plane ---------------------------------------------------------------------------------------

    /// Reads on; a pipe that has nothing yet is waited for in short turns, so that a signal ends the wait.
    private mutating func refill(_ file: inout CaptureFile) throws(RelayError) {
        if file.totalBytes == nil {
            var descriptor = pollfd(fd: file.descriptor, events: Int16(POLLIN), revents: 0)
            if unsafe poll(&descriptor, 1, 0) == 0 {
                sink.pause()
                while unsafe poll(&descriptor, 1, 50) == 0 {
                    if stops.isSet { return }
                    sink.pause()
                }
            }
        }
        do throws(CaptureFileError) { try file.refill() } catch { throw RelayError(error) }
    }

    /// Waits until the next packet is due, in short turns.
    private mutating func hold() {
        sink.pause()
        let now = Clock.monotonic()
        if due > now { Clock.sleep(nanoseconds: min(due - now, 20_000_000)) }
    }

    private mutating func admit(_ file: inout CaptureFile) throws(RelayError) {
        let description = file.takeInterface()
        guard !interfaces.isFull else { throw RelayError(.badData, "\(file.path): too many interfaces") }
        var label = InterfaceLabel(linkType: description.linkType.value, name: description.name)
        label.summary = description.description
        label.filter = description.filter
        label.hardware = description.hardware
        label.system = description.operatingSystem
        label.fcsLength = description.frameCheckOctets
        // The first packet chooses the link type, not the first description, and an interface of another one does no harm
        // as long as it has no packets.
        if description.linkType != .rawIP, gate.linkType == description.linkType {
            interfaces.append(id: try gate.admit(label, filterInUserSpace: true, source: file.path))
        } else {
            interfaces.append(waiting: label)
        }
    }

    /// The first packet of an interface that is not registered yet, or one that cannot go with its interface.
    private mutating func settle(_ file: inout CaptureFile) throws(RelayError) {
        let place = file.packet.interface
        if let label = interfaces.waitingLabel(place), label.linkType != LinkType.rawIP.value {
            try settle(label.linkType, file.path)
        } else {
            try settleRaw(&file)
        }
    }

    /// Registers every interface of a link type that still waits, in the order of the file.
    private mutating func settle(_ linkType: UInt16, _ source: String) throws(RelayError) {
        for (place, label) in interfaces.waitingLabels where label.linkType == linkType {
            let id = try gate.admit(label, filterInUserSpace: true, source: source)
            interfaces.settle(place, id: id, version: 0)
        }
    }

    /// A file without packets still says what its stream is of.
    private mutating func settleEmpty(_ file: borrowing CaptureFile) throws(RelayError) {
        guard gate.linkType == nil else { return }
        let first = interfaces.waitingLabels.first { $0.label.linkType != LinkType.rawIP.value }
        if let first { try settle(first.label.linkType, file.path) }
    }

    /// Raw IP (101) cannot be read twice in a row by libpcap, so it becomes IPv4 (228) or IPv6 (229) by its first
    /// packet; a packet of the other version is a second link type (docs/format.md).
    private mutating func settleRaw(_ file: inout CaptureFile) throws(RelayError) {
        let version = unsafe file.packet.captured > 0 ? file.packetBytes[0] >> 4 : 0
        let place = file.packet.interface
        guard var label = interfaces.waitingLabel(place), version == 4 || version == 6 else {
            throw RelayError(
                .badData,
                "\(file.path): at offset \(file.consumedBytes): raw IP packets of different versions are two"
                    + " link types, and a run has one")
        }
        label.linkType = version == 4 ? LinkType.ipv4.value : LinkType.ipv6.value
        let id = try gate.admit(label, filterInUserSpace: true, source: file.path)
        interfaces.settle(place, id: id, version: version)
    }
}

extension RelayError {
    /// What a capture file's error means for the exit code.
    init(_ error: CaptureFileError) {
        switch error {
        case .cannotOpen(let cause): self.init(cause.code == EACCES ? .notPermitted : .noInput, "\(error)")
        case .cannotRead: self.init(.inputOutput, "\(error)")
        case .damaged: self.init(.badData, "\(error)")
        }
    }
}
