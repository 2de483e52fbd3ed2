import Generator
import Options
import Relay

extension Generator.Job {
    /// The generator's options, with its own defaults for what was not given.
    init(_ options: GenerateOptions) throws(Failure) {
        self.init(interface: options.interface)
        rate = options.rate.map(Rate.init) ?? rate
        count = options.count
        duration = options.duration
        traffic = Traffic(options)
        do throws(Traffic.Fault) { try traffic.check() } catch { throw Failure(error) }
    }
}

extension Traffic {
    fileprivate init(_ options: GenerateOptions) {
        self.init()
        if options.transport == .tcp { transport = .tcp(segments: options.segments ?? 10) }
        if options.version == .six { version = .ipv6 }
        flows = options.flows ?? flows
        tags = options.tags ?? tags
        destination = options.destinationMAC ?? destination
        if let order = options.fragments {
            fragmentation = Fragmentation(size: options.fragmentSize ?? 512, order: Fragmentation.Order(order))
        }
        switch options.size {
        case .range(let range): size = .range(range)
        case .imix: size = .imix
        case nil:
            let usual = fragmentation == nil ? max(64, leastSize) : 1514
            size = .range(usual...usual)
        }
    }
}

extension Traffic.Fragmentation.Order {
    fileprivate init(_ fragments: GenerateOptions.Fragments) {
        switch fragments {
        case .inOrder: self = .inOrder
        case .shuffled: self = .shuffled
        case .overlapping: self = .overlapping
        case .incomplete: self = .incomplete
        }
    }
}

extension Rate {
    fileprivate init(_ pace: Pace) {
        switch pace {
        case .packetsPerSecond(let rate): self = .packetsPerSecond(rate)
        case .bitsPerSecond(let rate): self = .bitsPerSecond(rate)
        case .max, .recorded: self = .max
        }
    }
}

extension Failure {
    fileprivate init(_ fault: Traffic.Fault) {
        let message =
            switch fault {
            case .tooSmall(let least): "--size: packets of this kind have at least \(least) bytes"
            case .tooLargePacket(let most): "--size: packets of this kind have at most \(most) bytes"
            case .tooLargeFrame(let most): "--size: frames have at most \(most) bytes; larger packets need --fragments"
            case .tooManyFragments(let most): "--fragment-size: a packet has at most \(most) fragments"
            case .nothingMissing(let least):
                "--fragments incomplete: with this --fragment-size, only packets from --size \(least) on are fragmented"
            }
        self.init(.usage, "\(message)\nSee 'spillway help generate'.")
    }

    /// Why packets cannot be made.
    init(_ error: GeneratorError) {
        switch error {
        case .noSuchInterface, .removed: self.init(.noInput, "-i \(error)")
        case .notPermitted: self.init(.notPermitted, "-i \(error)")
        case .tooLarge: self.init(.usage, "-i \(error)")
        case .isDown, .cannotTransmit, .refused: self.init(.kernel, "-i \(error)")
        }
    }
}
