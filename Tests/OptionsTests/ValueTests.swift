import Options
import Testing

@Suite("Sizes, times, rates, CPU lists and names")
struct ValueTests {
    @Test(
        "A size is bytes, or K M G T as powers of 1024",
        arguments: [
            ("0", 0), ("1", 1), ("4096", 4096), ("64K", 65536), ("64k", 65536), ("512M", 536_870_912),
            ("2G", 2_147_483_648), ("1T", 1_099_511_627_776), ("1.5G", 1_610_612_736), ("0.5K", 512),
            ("2.50K", 2560), ("007", 7), ("9223372036854775807", Int.max), ("8388607T", 9_223_370_937_343_148_032),
        ])
    func size(text: String, bytes: Int) {
        #expect(Values.size(text) == bytes)
    }

    @Test(
        "What is no size is refused",
        arguments: [
            "", " ", "K", "-1", "+1", "1 K", "1KB", "1KiB", "12Q", "1.", ".5K", "1.5", "0.3K", "1.5.5K", "1e3", "0x10",
            "9223372036854775808", "18446744073709551615", "18446744073709551616", "8388608T", "16777216T", "٣",
            "1,5K", "1.0000000000000000001K",
        ])
    func noSize(text: String) {
        #expect(Values.size(text) == nil)
    }

    @Test(
        "A time is a number with its unit, in nanoseconds",
        arguments: [
            ("0", 0), ("0s", 0), ("1us", 1000), ("5ms", 5_000_000), ("1s", 1_000_000_000), ("2m", 120_000_000_000),
            ("1.5h", 5_400_000_000_000), ("7d", 604_800_000_000_000), ("0.5us", 500), ("0.001us", 1),
            ("36500d", 3_153_600_000_000_000_000),
        ] as [(String, UInt64)])
    func time(text: String, nanoseconds: UInt64) {
        #expect(Values.time(text) == nanoseconds)
    }

    @Test(
        "What is no time is refused, a number without a unit above all",
        arguments: [
            "", "5", "s", "-1s", "1S", "1 s", "1ns", "1min", "1m30s", "36501d", "99999999999999999999d", "0.0001us",
            "213503983d",
        ])
    func noTime(text: String) {
        #expect(Values.time(text) == nil)
    }

    @Test(
        "A pace is max, recorded or a rate with powers of 1000",
        arguments: [
            ("max", .max), ("recorded", .recorded), ("1pps", .packetsPerSecond(1)),
            ("100Kpps", .packetsPerSecond(100_000)), ("1.5Mpps", .packetsPerSecond(1_500_000)),
            ("9600bps", .bitsPerSecond(9600)), ("2.5Gbps", .bitsPerSecond(2_500_000_000)),
            ("10kbps", .bitsPerSecond(10_000)),
        ] as [(String, Pace)])
    func pace(text: String, pace: Pace) {
        #expect(Values.pace(text) == pace)
    }

    @Test(
        "What is no pace is refused",
        arguments: [
            "", "pps", "0pps", "0Gbps", "100", "100K", "Max", "-1pps", "1Tbps", "0.5pps", "1KppsX",
            "18446744073709552Kbps",
        ])
    func noPace(text: String) {
        #expect(Values.pace(text) == nil)
    }

    @Test(
        "CPU lists are those of the kernel",
        arguments: [
            ("0", [0]), ("2-5,8", [2, 3, 4, 5, 8]), ("8,2-5", [2, 3, 4, 5, 8]), ("1,1,0-1", [0, 1]), ("3-3", [3]),
            ("1023", [1023]),
        ])
    func cpus(text: String, cpus: [Int]) {
        #expect(Values.cpus(text) == cpus)
    }

    @Test(
        "What is no CPU list is refused",
        arguments: [
            "", ",", "1,", "a", "5-2", "1-", "-1", "1-2-3", "1024", "0-1024", " 1", "1 2", "99999999999999999999",
        ])
    func noCPUs(text: String) {
        #expect(Values.cpus(text) == nil)
    }

    @Test("Names have 1 to 64 characters of a small set and no dot first")
    func names() {
        let allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
        for code in UInt8.min...UInt8.max {
            let character = Character(Unicode.Scalar(code))
            #expect(Values.isName("x\(character)") == allowed.contains(character), "\(code)")
        }
        #expect(Values.isName(String(repeating: "a", count: 64)))
        #expect(!Values.isName(String(repeating: "a", count: 65)))
        #expect(!Values.isName(""))
        #expect(!Values.isName(".a"))
        #expect(Values.isName("-"))
        #expect(!Values.isName("e\u{301}"))
    }

    @Test(
        "From any host name comes a name",
        arguments: [
            ("sensor-7.example", "sensor-7.example"), ("..hidden", "hidden"), ("a b/c", "a-b-c"), ("", "spillway"),
            ("...", "spillway"), ("ü", "--"), (String(repeating: "x", count: 90), String(repeating: "x", count: 64)),
        ])
    func nameFromHost(host: String, name: String) {
        #expect(Values.name(from: host) == name)
        #expect(Values.isName(Values.name(from: host)))
    }
}
