/// Which of several destinations is the fastest, and what it took in a turn.
///
/// A socket takes its bytes in bursts, each socket in turns of its own, so that the greatest figures of each turn add up to what
/// all of them take together. Therefore one is chosen, and stays chosen until another one is clearly faster.
public struct Fastest: Sendable {
    private typealias Figures = (place: Int, speed: Double, bytes: UInt64)

    /// Bytes per second, by an average over `time`.
    private var speeds: [Double]
    private var chosen = 0
    /// Of this turn: the chosen one, and the one with the greatest speed.
    private var own: Figures?
    private var best: Figures?

    /// Seconds: a slow socket's bursts lie far apart.
    static let time = 4.0
    /// How much faster another one has to be.
    static let clearly = 1.1

    /// For so many destinations.
    public init(count: Int) { speeds = Array(repeating: 0, count: count) }

    /// Takes in what one of them took in this turn.
    public mutating func add(bytes: UInt64, of place: Int, seconds: Double) {
        speeds[place] += (Double(bytes) / seconds - speeds[place]) * Ingress.weight(seconds, Self.time)
        let figures = (place, speeds[place], bytes)
        if place == chosen { own = figures }
        if figures.1 > best?.speed ?? -1 { best = figures }
    }

    /// What the fastest of those that were named took in this turn, which is over; 0 if none was.
    public mutating func take() -> UInt64 {
        defer { (own, best) = (nil, nil) }
        guard let best else { return 0 }
        if let own, best.speed <= own.speed * Self.clearly { return own.bytes }
        chosen = best.place
        return best.bytes
    }
}
