/// Heads of responses, written byte by byte: this is the one text every request costs.
extension [UInt8] {
    mutating func append(_ text: StaticString) {
        unsafe append(contentsOf: UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    mutating func append(_ text: String) { append(contentsOf: text.utf8) }

    /// Appends a number in decimal digits.
    mutating func append(decimal number: UInt64) {
        var digits = InlineArray<20, UInt8>(repeating: 0)
        var place = 20
        var rest = number
        repeat {
            place -= 1
            digits[place] = UInt8(ascii: "0") + UInt8(rest % 10)
            rest /= 10
        } while rest > 0
        for place in place..<20 { append(digits[place]) }
    }

    /// Appends a number in hexadecimal digits.
    mutating func append(hexadecimal number: UInt64) {
        var shift = Swift.max(0, (63 - number.leadingZeroBitCount)) / 4 * 4
        if number == 0 { shift = 0 }
        while shift >= 0 {
            let digit = UInt8(number >> UInt64(shift) & 15)
            append(digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10)
            shift -= 4
        }
    }
}

/// The status codes that are sent, with their reasons.
enum Status: UInt16 {
    case ok = 200, noContent = 204, partialContent = 206, movedPermanently = 301, notModified = 304
    case badRequest = 400, unauthorized = 401, forbidden = 403, notFound = 404, methodNotAllowed = 405
    case requestTimeout = 408, preconditionFailed = 412, contentTooLarge = 413, uriTooLong = 414
    case rangeNotSatisfiable = 416, tooManyRequests = 429, headerFieldsTooLarge = 431
    case internalError = 500, notImplemented = 501, serviceUnavailable = 503, versionNotSupported = 505

    var reason: StaticString {
        switch self {
        case .ok: "OK"
        case .noContent: "No Content"
        case .partialContent: "Partial Content"
        case .movedPermanently: "Moved Permanently"
        case .notModified: "Not Modified"
        case .badRequest: "Bad Request"
        case .unauthorized: "Unauthorized"
        case .forbidden: "Forbidden"
        case .notFound: "Not Found"
        case .methodNotAllowed: "Method Not Allowed"
        case .requestTimeout: "Request Timeout"
        case .preconditionFailed: "Precondition Failed"
        case .contentTooLarge: "Content Too Large"
        case .uriTooLong: "URI Too Long"
        case .rangeNotSatisfiable: "Range Not Satisfiable"
        case .tooManyRequests: "Too Many Requests"
        case .headerFieldsTooLarge: "Request Header Fields Too Large"
        case .internalError: "Internal Server Error"
        case .notImplemented: "Not Implemented"
        case .serviceUnavailable: "Service Unavailable"
        case .versionNotSupported: "HTTP Version Not Supported"
        }
    }
}
