internal import Sealing

/// What the beginning of a sealed file says about the rest of it.
struct AgeFetch {
    /// Bytes that hold the header of any file with some hundred recipients.
    static let headBytes = 64 << 10

    let layout: AgeLayout
    private let payload: AgePayload

    init(_ start: [UInt8], _ length: UInt64, _ identities: [AgeIdentity]) throws(FetchError) {
        do throws(AgeError) {
            guard let payload = try AgePayload.open(start, with: identities) else { throw AgeError.truncated }
            self.payload = payload
            layout = try AgeLayout(start: payload.start, fileLength: length)
        } catch {
            throw FetchError(.data, "\(error)")
        }
    }

    /// Opens a chunk.
    func open(_ sealed: ArraySlice<UInt8>, _ number: UInt64) throws(FetchError) -> [UInt8] {
        do throws(AgeError) {
            return try payload.open(sealed, number: number, isLast: layout.isLast(number))
        } catch {
            throw FetchError(.data, "\(error)")
        }
    }
}
