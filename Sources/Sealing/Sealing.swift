internal import Glibc
internal import Machine

/// Whole streams, sealed and opened chunk by chunk.
public enum Sealing {
    /// Seals all of one descriptor into another.
    public static func seal(_ input: Int32, to output: Int32, for recipients: [AgeRecipient]) throws(AgeError) {
        let (payload, start) = try AgePayload.make(for: recipients)
        try write(start, to: output)
        var number: UInt64 = 0
        var chunk = try read(input, AgePayload.plainChunk)
        while true {
            // Which chunk is the last is known once there is no next one.
            let next = chunk.count == AgePayload.plainChunk ? try read(input, AgePayload.plainChunk) : []
            try write(payload.seal(chunk, number: number, isLast: next.isEmpty), to: output)
            if next.isEmpty { return }
            chunk = next
            number += 1
        }
    }

    /// Opens all of one descriptor into another. Nothing is written that was not checked.
    public static func open(_ input: Int32, to output: Int32, with identities: [AgeIdentity]) throws(AgeError) {
        var begin = try read(input, AgeHeader.most)
        guard let payload = try AgePayload.open(begin, with: identities) else { throw .truncated }
        begin.removeFirst(Int(payload.start))
        var number: UInt64 = 0
        var rest = begin
        while true {
            // One byte more than a chunk tells whether it is the last.
            let missing = AgePayload.sealedChunk + 1 - rest.count
            if missing > 0 { rest += try read(input, missing) }
            let isLast = rest.count <= AgePayload.sealedChunk
            let sealed = rest.prefix(AgePayload.sealedChunk)
            let plain = try payload.open(sealed, number: number, isLast: isLast)
            try write(plain, to: output)
            if isLast { return }
            rest.removeFirst(AgePayload.sealedChunk)
            number += 1
        }
    }

    /// Reads so many bytes, or what there is.
    private static func read(_ input: Int32, _ count: Int) throws(AgeError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var used = 0
        while used < count {
            let place = used
            let got = unsafe bytes.withUnsafeMutableBytes {
                unsafe Glibc.read(input, $0.baseAddress! + place, count - place)
            }
            if got == 0 { break }
            if got > 0 { used += got } else if errno != EINTR { throw .failed("\(SystemError("read"))") }
        }
        bytes.removeLast(count - used)
        return bytes
    }

    private static func write(_ bytes: [UInt8], to output: Int32) throws(AgeError) {
        var sent = 0
        while sent < bytes.count {
            let place = sent
            let count = unsafe bytes.withUnsafeBytes {
                unsafe Glibc.write(output, $0.baseAddress! + place, bytes.count - place)
            }
            if count >= 0 { sent += count } else if errno != EINTR { throw .notWritten("\(SystemError("write"))") }
        }
    }
}
