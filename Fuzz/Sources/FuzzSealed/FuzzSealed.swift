import Sealing

/// An identity that everybody knows, so that the fuzzer can get behind the header.
private let identity = try! AgeIdentity("AGE-SECRET-KEY-1W4URA7RL6QH6J2RWKWZZ3HLTLWF3T5C37RT8EH4HKL9RMMA85LPSRRL9X2")

/// Reads the input as a sealed file, and as text with keys in it. No input but one that was sealed for the identity may open,
/// and none may crash.
@c(LLVMFuzzerTestOneInput)
public func fuzzOneInput(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    guard let data = unsafe data else { return 0 }
    let bytes = unsafe [UInt8](UnsafeBufferPointer(start: data, count: count))
    if let payload = try? AgePayload.open(bytes, with: [identity]) {
        precondition(payload.start <= UInt64(count), "a payload begins in its file")
        guard let layout = try? AgeLayout(start: payload.start, fileLength: UInt64(count)) else { return 0 }
        for number in 0..<layout.chunks {
            let range = layout.range(ofChunk: number)
            precondition(range.upperBound <= UInt64(count), "a chunk lies in its file")
            let chunk = bytes[Int(range.lowerBound)..<Int(range.upperBound)]
            _ = try? payload.open(chunk, number: number, isLast: layout.isLast(number))
        }
    }
    let text = String(decoding: bytes, as: UTF8.self)
    if let recipient = try? AgeRecipient(text) {
        precondition("\(recipient)" == text.lowercased(), "a key is written in one way")
    }
    _ = try? AgeIdentity.all(in: text)
    return 0
}
