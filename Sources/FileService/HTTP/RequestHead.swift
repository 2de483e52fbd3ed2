internal import CLLHTTP

/// The head of a request, taken apart; good for as long as the bytes it was parsed from stay where they are.
@safe struct RequestHead: ~Copyable {
    // Safe because the one head is this value's own, and every span was found inside the bytes that were given.

    /// Fields that mean something here.
    enum Field: Int, CaseIterable {
        case host, range, accept, expect, authorization
        case ifRange, ifMatch, ifNoneMatch, ifModifiedSince, ifUnmodifiedSince
        case acceptEncoding
    }

    /// What became of the bytes.
    enum Status {
        case complete, incomplete, malformed, tooManyFields
    }

    private let head: UnsafeMutablePointer<spillway_http_head>
    private var bytes = unsafe UnsafeRawBufferPointer(start: nil, count: 0)
    /// The place of each known field, -1 if it is not there, -2 if it is there more than once.
    private var places = InlineArray<11, Int>(repeating: -1)

    init() {
        unsafe head = .allocate(capacity: 1)
        unsafe head.initialize(to: spillway_http_head())
    }

    deinit { unsafe head.deallocate() }

    /// Takes apart the head that begins at the first byte.
    mutating func parse(_ bytes: UnsafeRawBufferPointer) -> Status {
        unsafe self.bytes = unsafe bytes
        unsafe spillway_http_request(head, bytes.baseAddress, bytes.count)
        switch unsafe UInt32(head.pointee.status) {
        case SPILLWAY_HTTP_COMPLETE.rawValue: break
        case SPILLWAY_HTTP_INCOMPLETE.rawValue: return .incomplete
        case SPILLWAY_HTTP_TOO_MANY_FIELDS.rawValue: return .tooManyFields
        default: return .malformed
        }
        for place in 0..<11 { places[place] = -1 }
        for index in unsafe 0..<Int(head.pointee.field_count) {
            guard let field = known(index) else { continue }
            places[field.rawValue] = places[field.rawValue] == -1 ? index : -2
        }
        return .complete
    }

    /// Bytes of the head, the blank line included.
    var byteCount: Int { unsafe Int(head.pointee.byte_count) }
    /// The version, 11 for 1.1.
    var version: Int { unsafe Int(head.pointee.major) * 10 + Int(head.pointee.minor) }
    var isGet: Bool { unsafe UInt32(head.pointee.method) == SPILLWAY_HTTP_GET.rawValue }
    var isHead: Bool { unsafe UInt32(head.pointee.method) == SPILLWAY_HTTP_HEAD.rawValue }
    var isOptions: Bool { unsafe UInt32(head.pointee.method) == SPILLWAY_HTTP_OPTIONS.rawValue }
    /// Whether the client wants the connection to go on.
    var keepsAlive: Bool { unsafe head.pointee.keep_alive != 0 }
    var hasTransferEncoding: Bool { unsafe head.pointee.has_transfer_encoding != 0 }
    /// Bytes of the body that follows.
    var contentLength: UInt64 { unsafe head.pointee.has_content_length != 0 ? head.pointee.content_length : 0 }
    /// What is asked for, as it was sent.
    var target: UnsafeRawBufferPointer { unsafe slice(head.pointee.target) }

    /// Whether the field is there more than once.
    func isRepeated(_ field: Field) -> Bool { places[field.rawValue] == -2 }

    /// Whether the field is there.
    func has(_ field: Field) -> Bool { places[field.rawValue] != -1 }

    /// Whether there is any field that has a say in how a file is answered.
    var hasConditions: Bool {
        let fields: [9 of Field] = [
            .range, .authorization, .ifRange, .ifMatch, .ifNoneMatch, .ifModifiedSince, .ifUnmodifiedSince,
            .acceptEncoding, .expect,
        ]
        for place in fields.indices where has(fields[place]) { return true }
        return false
    }

    /// The value of a field that is there once. Of a repeated one nothing is believed.
    func text(_ field: Field) -> String? {
        let place = places[field.rawValue]
        return unsafe place < 0
            ? nil : String(decoding: slice(spillway_http_field_at(head, UInt32(place)).value), as: UTF8.self)
    }

    // ---- fields --------------------------------------------------------------------------------------------------

    private func slice(_ span: spillway_http_span) -> UnsafeRawBufferPointer {
        unsafe UnsafeRawBufferPointer(rebasing: bytes[Int(span.offset)..<Int(span.offset) + Int(span.length)])
    }

    private func known(_ index: Int) -> Field? {
        let name = unsafe slice(spillway_http_field_at(head, UInt32(index)).name)
        func equals(_ text: StaticString) -> Bool {
            name.count == text.utf8CodeUnitCount
                && name.indices.allSatisfy { unsafe name[$0] | 0x20 == text.utf8Start[$0] | 0x20 }
        }
        switch name.count {
        case 4: return equals("host") ? .host : nil
        case 5: return equals("range") ? .range : nil
        case 6: return equals("accept") ? .accept : equals("expect") ? .expect : nil
        case 8: return equals("if-range") ? .ifRange : equals("if-match") ? .ifMatch : nil
        case 13: return equals("if-none-match") ? .ifNoneMatch : equals("authorization") ? .authorization : nil
        case 15: return equals("accept-encoding") ? .acceptEncoding : nil
        case 17: return equals("if-modified-since") ? .ifModifiedSince : nil
        case 19: return equals("if-unmodified-since") ? .ifUnmodifiedSince : nil
        default: return nil
        }
    }
}
