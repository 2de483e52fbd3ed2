import Capture
import Glibc
import Machine
import Pcapng
import TestSupport
import Testing

private let ring = 16 << 20

/// How an interface is opened, and how it goes.
@Suite("Live capture: opening and going")
struct PcapInterfaceEndsTests {
    @Test("What cannot be opened says what and why")
    func cannotOpen() throws {
        try withNetworkNamespace { namespace in
            try namespace.enter {
                for name in ["nowhere", "", "usbmon1", "nflog", "a-name-that-is-far-too-long", "left\0right"] {
                    #expect(throws: PcapInterfaceError.noSuchInterface(name)) {
                        _ = try PcapInterface(name, ringBytes: ring)
                    }
                }
                let error = #expect(throws: PcapInterfaceError.self) {
                    try withoutPacketSockets { _ = try PcapInterface("left", ringBytes: ring) }
                }
                #expect(error == .notPermitted("left"))
                #expect(error?.description.contains("CAP_NET_RAW") == true)
                try namespace.ip("link", "set", "left", "down")
                #expect(throws: PcapInterfaceError.isDown("left")) {
                    _ = try PcapInterface("left", ringBytes: ring)
                }
            }
        }
    }

    @Test("A wrong filter is named in libpcap's words, one the kernel cannot do is left to the worker")
    func filters() throws {
        try withNetworkNamespace { namespace in
            try namespace.enter {
                let error = #expect(throws: PcapInterfaceError.self) {
                    _ = try PcapInterface("left", filter: "tcp portt 80", ringBytes: ring)
                }
                guard case .filter(let inner) = error else {
                    Issue.record("not a filter error: \(String(describing: error))")
                    return
                }
                #expect(inner.expression == "tcp portt 80" && inner.reason.contains("syntax error"))
            }
            // The hardware type in a cooked header is not there yet when the kernel filters.
            var source = try namespace.enter {
                try PcapInterface("any", filter: "ether[8:2] = 4711", ringBytes: ring)
            }
            #expect(source.filtersInKernel == false)
            try source.startArrivals()
            let sender = try namespace.enter { try FrameSender("left") }
            for number in 0..<50 { try sender.send(numbered(number, size: 100)) }
            var packets: [ReadPacket] = []
            try read(&source, into: &packets) { $0.readCount >= 100 }
            source.stopArrivals()
            try read(&source, into: &packets) { $0.isDrained }
            #expect(source.statistics() == .init(captured: UInt64(packets.count), dropped: 0))
        }
    }

    @Test("An interface that goes down and up again delivers again")
    func downAndUp() throws {
        try withNetworkNamespace { namespace in
            var source = try namespace.enter { try PcapInterface("right", ringBytes: ring) }
            try source.startArrivals()
            let sender = try namespace.enter { try FrameSender("left") }
            var packets: [ReadPacket] = []
            try sender.send(numbered(0, size: 100))
            try read(&source, into: &packets) { $0.readCount >= 1 }
            #expect(try namespace.enter { source.condition } == .up)
            try namespace.ip("link", "set", "right", "down")
            for _ in 0..<20 { #expect(source.next() == nil) }
            #expect(source.hasFailed == false)
            #expect(try namespace.enter { source.condition } == .down)
            try namespace.ip("link", "set", "right", "up")
            for number in 1..<100 { try sender.send(numbered(number, size: 100)) }
            try read(&source, into: &packets) { $0.readCount >= 100 }
            source.stopArrivals()
            try read(&source, into: &packets) { $0.isDrained }
            #expect(source.hasFailed == false)
            #expect(Set(packets.map(\.bytes)) == Set((0..<100).map { numbered($0, size: 100) }))
            #expect(source.statistics() == .init(captured: 100, dropped: 0))
        }
    }

    @Test(
        "An interface that is removed ends the capture with a named error, and what it delivered before is all there"
    )
    func removed() throws {
        try withNetworkNamespace { namespace in
            for isDownBefore in [false, true] {
                var source = try namespace.enter { try PcapInterface("right", ringBytes: ring) }
                try source.startArrivals()
                let sender = try namespace.enter { try FrameSender("left") }
                for number in 0..<100 { try sender.send(numbered(number, size: 100)) }
                if isDownBefore {
                    try namespace.ip("link", "set", "right", "down")
                    _ = source.next()
                }
                try namespace.ip("link", "del", "right")
                var packets: [ReadPacket] = []
                try read(&source, into: &packets) { $0.hasFailed }
                #expect(source.hasFailed == true)
                #expect(try namespace.enter { source.failure } == .removed("right"))
                #expect(try namespace.enter { source.condition } == .removed)
                source.stopArrivals()
                for _ in 0..<1000 where !source.isDrained {
                    try read(&source, into: &packets) { $0.isDrained }
                    usleep(1000)
                }
                let counts = source.statistics()
                #expect(counts.dropped == 0 && counts.captured == 100 && source.readCount == 100)
                // One of the same name that comes later is another one.
                try namespace.ip("link", "add", "left", "type", "veth", "peer", "name", "right")
                for name in ["left", "right"] { try namespace.ip("link", "set", name, "up") }
                #expect(try namespace.enter { source.condition } == .removed)
                var again = try namespace.enter { try PcapInterface("right", ringBytes: ring) }
                try again.startArrivals()
                #expect(try namespace.enter { again.condition } == .up)
            }
        }
    }

    @Test("The label names the interface, its alternative name leads to it, and its driver is told")
    func labels() throws {
        try withNetworkNamespace { namespace in
            try namespace.ip("link", "property", "add", "dev", "left", "altname", "uplink0")
            let label = try namespace.enter {
                let source = try PcapInterface("uplink0", ringBytes: ring)
                #expect(source.name == "left")
                return source.label(filter: "tcp")
            }
            #expect(label.name == "left" && label.linkType == 1 && label.filter == "tcp")
            #expect(label.hardware?.contains("driver veth") == true)
            let release = try run("uname", ["-sr"]).checked().outputLines[0]
            #expect(label.system == release)
            let all = try namespace.enter { try PcapInterface("any", ringBytes: ring).label() }
            #expect(all.name == "any" && all.linkType == 276 && all.hardware == nil)
        }
    }

    @Test("The memory stated is whole blocks, and at least two")
    func memory() {
        #expect(PcapInterface.byteCount(ringBytes: 1) == 3 << 18)
        #expect(PcapInterface.byteCount(ringBytes: 2 << 20) == 9 << 18)
        #expect(PcapInterface.byteCount(ringBytes: (2 << 20) + 1) == 10 << 18)
        #expect(PcapInterface.byteCount(ringBytes: .max) <= Int(Int32.max) + 1)
    }
}
