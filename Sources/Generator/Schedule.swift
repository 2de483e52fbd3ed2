/// When frames are due. All times are nanoseconds since the run began.
package struct Schedule {
    /// How fast frames are sent.
    package let rate: Rate
    /// When the run ends, if it ends by time.
    package let duration: UInt64?
    /// Mean bits of a frame, to guess how many frames a number of bits are.
    package let meanBits: UInt64

    /// At most so many frames are due at once, so that signals and the progress line do not wait for long.
    package static var most: UInt64 { 8192 }
    /// Frames of so much time are sent together: waking for each one is neither cheap nor more exact.
    static var interval: UInt64 { 500_000 }

    /// When the run ends although frames are due. What a stall has left undone is made up for after the duration, but
    /// not for long: a rate that cannot be reached must not make a run longer without end.
    package var lastCall: UInt64 {
        guard let duration else { return .max }
        return duration + max(duration / 20, 100_000_000)
    }

    /// A schedule.
    package init(rate: Rate, duration: UInt64?, meanBits: UInt64) {
        (self.rate, self.duration, self.meanBits) = (rate, duration, meanBits)
    }

    /// How many frames are due, given what was made so far; 0, if none are.
    package func due(at elapsed: UInt64, frames: UInt64, bits: UInt64) -> UInt64 {
        if let duration, next(frames: frames, bits: bits) >= duration { return 0 }
        let time = min(elapsed, duration.map { $0 - 1 } ?? .max)
        switch rate {
        case .max: return elapsed < duration ?? .max ? Self.most : 0
        case .packetsPerSecond(let rate):
            // The first one is due at once.
            let due = Self.amount(rate, during: time) + 1
            return due > frames ? min(due - frames, Self.most) : 0
        case .bitsPerSecond(let rate):
            let due = Self.amount(rate, during: time)
            return due >= bits ? min((due - bits) / meanBits + 1, Self.most) : 0
        }
    }

    /// When the frame after these is due.
    package func next(frames: UInt64, bits: UInt64) -> UInt64 {
        switch rate {
        case .max: 0
        case .packetsPerSecond(let rate): Self.time(frames, at: rate)
        case .bitsPerSecond(let rate): Self.time(bits, at: rate)
        }
    }

    /// How much a rate makes in a time, rounded down.
    static func amount(_ rate: UInt64, during time: UInt64) -> UInt64 {
        let product = rate.multipliedFullWidth(by: time)
        return product.high >= 1_000_000_000 ? .max : UInt64(1_000_000_000).dividingFullWidth(product).quotient
    }

    /// The first time at which a rate has made so much.
    static func time(_ amount: UInt64, at rate: UInt64) -> UInt64 {
        let product = amount.multipliedFullWidth(by: 1_000_000_000)
        guard product.high < rate else { return .max / 2 }
        let (quotient, remainder) = rate.dividingFullWidth(product)
        return remainder == 0 ? quotient : quotient + 1
    }
}

/// How fast frames are sent.
public enum Rate: Sendable, Equatable {
    /// As fast as they can be made.
    case max
    /// Frames in a second, more than none.
    case packetsPerSecond(UInt64)
    /// Bits of frames in a second, more than none; without preamble, frame check sequence and the gap between frames.
    case bitsPerSecond(UInt64)
}
