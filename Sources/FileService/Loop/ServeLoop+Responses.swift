internal import Glibc
internal import Machine
internal import Sending

/// From requests to responses.
extension ServeLoop {
    /// Begins the response to the request whose head was just taken apart.
    func respond(to connection: Connection) {
        if head.isOptions {
            begin(connection, .noContent)
            connection.output.append("Allow: GET, HEAD, OPTIONS\r\n")
            return finishHead(connection)
        }
        guard head.isGet || head.isHead else {
            return fail(connection, .methodNotAllowed, extra: "Allow: GET, HEAD, OPTIONS\r\n")
        }
        if isPlain(connection), replyAgain(connection) { return }
        let target: RequestTarget
        do throws(RequestTarget.Fault) {
            target = try unsafe RequestTarget(head.target)
        } catch {
            return fail(connection, error == .hidden ? .notFound : .badRequest)
        }
        guard isAllowed(target, connection) else { return }
        if let time = target.value("link") { return sendLink(connection, target, time) }
        do throws(OpenFile.Fault) {
            try send(try open(target.path), target, connection)
        } catch {
            switch error {
            case .notFound: fail(connection, .notFound)
            case .forbidden: fail(connection, .forbidden)
            case .exhausted: fail(connection, .serviceUnavailable, extra: "Retry-After: 1\r\n")
            case .failed: fail(connection, .internalError)
            }
        }
    }

    /// Whether nothing about the request but its target decides about the response to it.
    private func isPlain(_ connection: Connection) -> Bool {
        head.isGet && head.version == 11 && connection.keepsAlive && shared.signer == nil && !head.hasConditions
    }

    /// Sends a response that was made for another request a moment ago; false if there is none.
    private func replyAgain(_ connection: Connection) -> Bool {
        let target = unsafe [UInt8](head.target)
        guard let reply = recent.reply(target, second: date.second, now: now) else { return false }
        connection.status = Status.ok.rawValue
        connection.sentBytes = 0
        connection.output = reply
        connection.outputSent = 0
        connection.phase = .sending
        connection.deadline = now &+ shared.options.sendTimeout
        shared.counters.add(.copiedBytes, UInt64(reply.count))
        return true
    }

    private func open(_ path: [UInt8]) throws(OpenFile.Fault) -> OpenFile {
        if let file = recent.file(path, now: now) { return file }
        let file = try OpenFile(path, below: shared.directory)
        recent.note(path, file, now: now)
        return file
    }

    private func isAllowed(_ target: RequestTarget, _ connection: Connection) -> Bool {
        guard let signer = shared.signer else { return true }
        if let field = head.text(.authorization), signer.allows(authorization: field) { return true }
        // A link is for looking at what it names, not for making more of them.
        if target.value("link") == nil, signer.allows(target, now: Clock.realtime() / 1_000_000_000) { return true }
        shared.counters.add(.denied)
        fail(connection, .unauthorized, extra: "WWW-Authenticate: Bearer realm=\"spillway\"\r\n")
        return false
    }

    /// Answers with a link to the path that holds for some seconds: `?link=3600`.
    private func sendLink(_ connection: Connection, _ target: RequestTarget, _ time: String) {
        guard let signer = shared.signer, let seconds = UInt64(time), (1...31_536_000).contains(seconds) else {
            return fail(connection, .badRequest)
        }
        let query = signer.query(for: target.path, expires: Clock.realtime() / 1_000_000_000 + seconds)
        let path = target.path.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
            .map { DirectoryIndex.percentEncoded($0) }.joined(separator: "/")
        send(connection, .ok, type: "text/plain; charset=utf-8", Array("/\(path)?\(query)\n".utf8))
    }

    private func send(_ file: OpenFile, _ target: RequestTarget, _ connection: Connection) throws(OpenFile.Fault) {
        if file.isDirectory {
            guard target.isDirectory else { return redirect(connection, target) }
            if let query = CaptureQuery.Request(target) { return sendQuery(connection, file, query) }
            return sendIndex(connection, file, target)
        }
        guard !target.isDirectory else { throw .notFound }
        if let follow = target.value("follow"), follow != "0" {
            return sendGrowing(connection, file, target, endsAtClose: follow == "close")
        }
        sendFile(connection, file, target.path)
    }

    private func redirect(_ connection: Connection, _ target: RequestTarget) {
        // Relative to the last part of the path, so that it holds behind any proxy.
        let last = target.path.split(separator: UInt8(ascii: "/")).last ?? []
        fail(connection, .movedPermanently, extra: "Location: ./\(DirectoryIndex.percentEncoded(last))/\r\n")
    }

    // ---- files ---------------------------------------------------------------------------------------------------

    private func sendFile(_ connection: Connection, _ plain: OpenFile, _ path: [UInt8]) {
        let encoded = head.has(.range) ? nil : encodedSibling(path)
        let file = encoded?.file ?? plain
        let validators = file.validators
        switch validators.judge(head) {
        case .goOn: break
        case .notModified:
            begin(connection, .notModified)
            describe(connection, validators)
            if encoded != nil { connection.output.append("Vary: Accept-Encoding\r\n") }
            return finishHead(connection)
        case .preconditionFailed: return fail(connection, .preconditionFailed)
        }
        var ranges = ByteRanges.whole
        if let field = head.text(.range), head.isGet, validators.allowsRange(head.text(.ifRange)) {
            ranges = ByteRanges(field, length: file.length)
        }
        let type = MediaType.of(path)
        switch ranges {
        case .unsatisfiable:
            return fail(connection, .rangeNotSatisfiable, extra: "Content-Range: bytes */\(file.length)\r\n")
        case .whole: begin(connection, .ok)
        case .parts: begin(connection, .partialContent)
        }
        describe(connection, validators)
        connection.output.append("Accept-Ranges: bytes\r\n")
        if let encoded {
            connection.output.append("Content-Encoding: \(encoded.coding.rawValue)\r\nVary: Accept-Encoding\r\n")
        }
        if case .parts(let parts) = ranges, parts.count > 1 { return sendParts(connection, file, parts, type) }
        var range = 0..<file.length
        if case .parts(let parts) = ranges {
            range = parts[0]
            connection.output.append(
                "Content-Range: bytes \(range.lowerBound)-\(range.upperBound - 1)/\(file.length)\r\n")
        }
        connection.output.append("Content-Type: ")
        connection.output.append(type)
        connection.output.append("\r\nContent-Length: ")
        connection.output.append(decimal: range.upperBound - range.lowerBound)
        connection.output.append("\r\n")
        finishHead(connection)
        attach(connection, file, [ResponseBody.Part(range: range)])
    }

    /// The file that lies beside this one in a coding the client accepts.
    private func encodedSibling(_ path: [UInt8]) -> (file: OpenFile, coding: ContentCoding)? {
        guard let field = head.text(.acceptEncoding) else { return nil }
        for coding in ContentCoding.accepted(field) {
            let file = try? OpenFile(path + Array(coding.suffix.utf8), below: shared.directory)
            if let file, !file.isDirectory { return (file, coding) }
        }
        return nil
    }

    private func describe(_ connection: Connection, _ validators: Validators) {
        connection.output.append("Last-Modified: ")
        connection.output.append(HTTPDate.text(validators.modified))
        connection.output.append("\r\nETag: ")
        connection.output.append(validators.tag)
        connection.output.append("\r\n")
    }

    /// Several ranges in one response (RFC 9110, section 14.6).
    private func sendParts(_ connection: Connection, _ file: OpenFile, _ ranges: [Range<UInt64>], _ type: String) {
        let boundary = "spillway\(String(UInt64.random(in: 0 ... .max), radix: 16))"
        var parts: [ResponseBody.Part] = []
        var length: UInt64 = 0
        for range in ranges {
            let lead =
                "\r\n--\(boundary)\r\nContent-Type: \(type)\r\n"
                + "Content-Range: bytes \(range.lowerBound)-\(range.upperBound - 1)/\(file.length)\r\n\r\n"
            parts.append(ResponseBody.Part(lead: Array(lead.utf8), range: range))
            length += UInt64(lead.utf8.count) + range.upperBound - range.lowerBound
        }
        let trail = Array("\r\n--\(boundary)--\r\n".utf8)
        connection.output.append(
            "Content-Type: multipart/byteranges; boundary=\(boundary)\r\n"
                + "Content-Length: \(length + UInt64(trail.count))\r\n")
        finishHead(connection)
        attach(connection, file, parts, trail: trail)
    }

    /// Adds a file's ranges to the response. A small one is copied beside the head, if it is in memory.
    private func attach(
        _ connection: Connection, _ file: OpenFile, _ parts: [ResponseBody.Part], trail: [UInt8] = []
    ) {
        guard connection.method != "HEAD" else { return }
        if parts.count == 1, trail.isEmpty {
            let range = parts[0].range
            let count = Int(range.upperBound - range.lowerBound)
            if count == 0 { return }
            if count <= shared.options.smallest, count <= 64 << 10,
                unsafe SmallPayload.read(file.descriptor, from: range.lowerBound, into: scratch, byteCount: count)
            {
                unsafe connection.output.append(contentsOf: UnsafeRawBufferPointer(start: scratch, count: count))
                shared.counters.add(.copiedBytes, UInt64(count))
                if isPlain(connection) {
                    let target = unsafe [UInt8](head.target)
                    recent.note(reply: connection.output, target, file, second: date.second, now: now)
                }
                return
            }
        }
        tools.adopt(file.descriptor)
        connection.body = ResponseBody(
            file: file, use: shared.files.enter(file.identity), parts: parts, trail: trail)
    }

    // ---- heads ---------------------------------------------------------------------------------------------------

    /// Begins a response's head.
    func begin(_ connection: Connection, _ status: Status) {
        connection.output.removeAll(keepingCapacity: true)
        connection.outputSent = 0
        connection.sentBytes = 0
        connection.status = status.rawValue
        connection.body = nil
        connection.output.append("HTTP/1.1 ")
        connection.output.append(decimal: UInt64(status.rawValue))
        connection.output.append(" ")
        connection.output.append(status.reason)
        connection.output.append("\r\nServer: spillway\r\nDate: ")
        connection.output.append(contentsOf: date.text)
        connection.output.append("\r\n")
    }

    /// Ends the head; the response is on its way.
    func finishHead(_ connection: Connection) {
        if !connection.keepsAlive {
            connection.output.append("Connection: close\r\n")
        } else if head.version == 10 {
            connection.output.append("Connection: keep-alive\r\n")
        }
        connection.output.append("\r\n")
        connection.phase = .sending
        connection.deadline = now &+ shared.options.sendTimeout
    }

    /// A whole response out of memory.
    func send(_ connection: Connection, _ status: Status, type: String, _ content: [UInt8], extra: String = "") {
        begin(connection, status)
        connection.output.append(extra)
        connection.output.append("Content-Type: \(type)\r\nContent-Length: \(content.count)\r\n")
        finishHead(connection)
        if connection.method != "HEAD" { connection.output += content }
    }

    /// A response that only says what is wrong, and nothing of what was asked for.
    func fail(_ connection: Connection, _ status: Status, extra: String = "", closes: Bool = false) {
        if closes {
            connection.keepsAlive = false
            // What follows cannot be told from a request.
            connection.discarding = 0
        }
        let hasContent = status != .notModified
        send(
            connection, status, type: "text/plain; charset=utf-8",
            hasContent ? Array("\(status.reason)\n".utf8) : [], extra: extra)
    }
}
