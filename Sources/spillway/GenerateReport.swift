import Generator
import Telemetry

extension GeneratorReport {
    /// One line for people.
    var summary: String {
        var line =
            "\(packets) packets in \(Self.rounded(seconds)) s: \(sent) frames sent, \(UInt64(packetRate)) per second"
        line += ", \(Self.rounded(bitRate / 1e6)) Mbit/s"
        if dropped > 0 { line += "; \(dropped) dropped by the driver" }
        if refused > 0 { line += "; \(refused) refused by the kernel" }
        return line
    }

    /// The status line.
    func progress(of job: Generator.Job) -> String {
        var line = "\(packets) packets, \(UInt64(packetRate)) per second, \(Self.rounded(bitRate / 1e6)) Mbit/s"
        if dropped + refused > 0 { line += ", \(dropped + refused) lost" }
        if let count = job.count {
            line += "; \(UInt64(Double(packets) / Double(count) * 100)) % done"
        } else if let duration = job.duration {
            line += "; \(Self.rounded(max(0, Double(duration) / 1e9 - seconds))) s left"
        }
        return line
    }

    /// The report as JSON.
    func json(interface: String) -> String {
        JSONValue.object([
            ("interface", .string(interface)), ("seconds", .fraction(seconds)), ("packets", .number(packets)),
            ("frames", .number(frames)), ("bytes", .number(bytes)), ("sent", .number(sent)),
            ("dropped", .object([("driver", .number(dropped)), ("kernel", .number(refused))])),
            ("packets_per_second", .fraction(packetRate)), ("bits_per_second", .fraction(bitRate)),
        ]).text()
    }

    private static func rounded(_ value: Double) -> Double { (value * 100).rounded() / 100 }
}
