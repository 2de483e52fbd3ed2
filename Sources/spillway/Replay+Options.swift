import Machine
import Options
import Relay
import Replay

extension WireReplay.Job {
    /// The job of these options, with its own defaults for what was not given.
    init(_ options: ReplayOptions, interface: String) {
        self.init(inputs: options.inputs, interface: interface)
        if let speed = options.speed { pace = ReplayPace(speed) }
        loops = options.loops ?? loops
        count = options.count
        switch options.transmit {
        case .zeroCopy: mode = .zeroCopy
        case .copy: mode = .copy
        case .packetSocket: mode = .packetSocket
        case .auto, nil: mode = nil
        }
    }
}

extension ReplayPace {
    fileprivate init(_ speed: ReplayOptions.Speed) {
        switch speed {
        case .top: self = .top
        case .recorded(let millionths): self = .recorded(millionths: millionths)
        case .packetsPerSecond(let rate): self = .packetsPerSecond(rate)
        case .bitsPerSecond(let rate): self = .bitsPerSecond(rate)
        }
    }
}

extension RelayOptions {
    /// A run over files as `replay` means it: nothing is put together or left out.
    init(_ options: ReplayOptions, _ destinations: [Options.Destination]) throws(Failure) {
        self.init()
        inputs = options.inputs.map(Input.file)
        self.destinations = destinations.map(Destination.init)
        name = options.name ?? Values.name(from: Surroundings.hostName)
        tokenFile = options.tokenFile
        reassembles = false
        drainTimeout = options.drainTimeout ?? drainTimeout
        switch options.speed {
        case .recorded(millionths: 1_000_000): pace = .recorded
        case .recorded:
            throw Failure(.usage, "--pace: a factor is for -i; to destinations write recorded, top or a rate")
        case .packetsPerSecond(let rate): pace = .packetsPerSecond(rate)
        case .bitsPerSecond(let rate): pace = .bitsPerSecond(rate)
        case .top, nil: pace = .max
        }
    }
}

extension Failure {
    /// Why packets cannot be put on a wire.
    init(_ error: TransmitError) {
        switch error {
        case .noSuchInterface: self.init(.noInput, "-i \(error)")
        case .notEthernet: self.init(.usage, "-i \(error)")
        case .notPermitted: self.init(.notPermitted, "-i \(error)")
        case .isDown, .refused, .gone: self.init(.kernel, "-i \(error)")
        }
    }
}
