import TestSupport

/// The splitter of docs/mount.md once more, written from that page alone and without a thought of speed.
struct FlowReference {
    let mode: Int
    let members: Int
    private var datagrams: [[UInt8]: UInt64] = [:]

    init(mode: Int, members: Int) {
        self.mode = mode
        self.members = members
    }

    private static func hash(_ words: [UInt64]) -> UInt64 {
        words.reduce(0x243F_6A88_85A3_08D3) { state, word in
            let product = (state ^ word).multipliedReportingOverflow(by: 0x9E37_79B9_7F4A_7C15).partialValue
            return product ^ (product >> 32)
        }
    }

    private static func number(_ bytes: ArraySlice<UInt8>) -> UInt64 { bytes.reduce(0) { $0 << 8 | UInt64($1) } }

    /// What is known of an Ethernet frame.
    private struct Frame {
        var vlans: [UInt64] = []
        var isIP = false
        var source: [UInt8] = [], destination: [UInt8] = []
        var protocolNumber: UInt64 = 0
        var ports: (UInt64, UInt64)?
        /// Names the datagram if this is a fragment; and whether it is the first.
        var datagram: [UInt8]?
        var isFirst = true
    }

    private static func read(_ frame: [UInt8]) -> Frame {
        var result = Frame()
        var at = 12
        while at + 4 <= frame.count, [0x8100, 0x88A8].contains(number(frame[at..<at + 2])) {
            result.vlans.append(number(frame[at + 2..<at + 4]) & 0xFFF)
            at += 4
        }
        guard at + 2 <= frame.count else { return result }
        let type = number(frame[at..<at + 2])
        at += 2
        let mapped: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF]
        if type == 0x0800 {
            let header = Int(frame[at] & 15) * 4
            result.isIP = true
            result.source = mapped + frame[at + 12..<at + 16]
            result.destination = mapped + frame[at + 16..<at + 20]
            result.protocolNumber = UInt64(frame[at + 9])
            let fragment = number(frame[at + 6..<at + 8])
            if fragment & 0x3FFF != 0 {
                result.datagram = [4, frame[at + 9]] + frame[at + 4..<at + 6] + result.source + result.destination
                result.isFirst = fragment & 0x1FFF == 0
            }
            at += header
        } else if type == 0x86DD {
            result.isIP = true
            result.source = Array(frame[at + 8..<at + 24])
            result.destination = Array(frame[at + 24..<at + 40])
            var next = frame[at + 6]
            at += 40
            if next == 44 {
                let fragment = number(frame[at + 2..<at + 4])
                if fragment & 0xFFF9 != 0 {
                    result.datagram = [6] + frame[at + 4..<at + 8] + result.source + result.destination
                    result.isFirst = fragment & 0xFFF8 == 0
                }
                next = frame[at]
                at += 8
            }
            result.protocolNumber = UInt64(next)
        }
        if result.isIP, result.isFirst, [6, 17].contains(result.protocolNumber), at + 4 <= frame.count {
            result.ports = (number(frame[at..<at + 2]), number(frame[at + 2..<at + 4]))
        }
        return result
    }

    private func hash(_ frame: Frame, _ bytes: [UInt8]) -> UInt64 {
        var words: [UInt64] = []
        if [0, 1, 3].contains(mode) {
            let tags = frame.vlans + [0, 0]
            words.append(UInt64(frame.vlans.count) << 32 | tags[0] << 16 | tags[1])
        }
        if mode != 1 {
            if frame.isIP {
                let usesPorts = [0, 4].contains(mode)
                let ports = usesPorts ? frame.ports ?? (0, 0) : (0, 0)
                let ends = [(frame.source, ports.0), (frame.destination, ports.1)].sorted {
                    $0.0 != $1.0 ? $0.0.lexicographicallyPrecedes($1.0) : $0.1 < $1.1
                }
                for end in ends { words += [Self.number(end.0[..<8]), Self.number(end.0[8...])] }
                if usesPorts { words.append(frame.protocolNumber << 32 | ends[0].1 << 16 | ends[1].1) }
            } else {
                words += [Self.number(bytes[0..<6]), Self.number(bytes[6..<12])].sorted()
            }
        }
        return Self.hash(words)
    }

    /// The member of each frame.
    mutating func members(of frames: [[UInt8]]) -> [Int] {
        let read = frames.map(Self.read)
        var result: [Int] = []
        for (index, frame) in read.enumerated() {
            var value = hash(frame, frames[index])
            if [0, 4].contains(mode), let datagram = frame.datagram {
                if frame.isFirst {
                    datagrams[datagram] = value
                } else if let known = datagrams[datagram] {
                    value = known
                } else {
                    let first = read[index...].firstIndex { $0.datagram == datagram && $0.isFirst }
                    if let first { value = hash(read[first], frames[first]) }
                    datagrams[datagram] = value
                }
            }
            result.append(Int(((value >> 32) * UInt64(members)) >> 32))
        }
        return result
    }
}
