internal import CFileService
internal import Glibc
internal import Machine
internal import Sending

/// Files that are sent while they grow: `?follow=1`.
///
/// The stream ends when the file is renamed or removed, which is how a capture is sealed; with `follow=close` also when its
/// writer closes it. It is sent in chunks, each of what was there when it began.
extension ServeLoop {
    func sendGrowing(
        _ connection: Connection, _ file: OpenFile, _ target: RequestTarget, endsAtClose: Bool
    ) {
        let isChunked = head.version == 11
        let watch = spillway_inotify_watch(inotify, file.descriptor)
        guard watch >= 0 else { return fail(connection, .serviceUnavailable) }
        if !isChunked { connection.keepsAlive = false }
        begin(connection, .ok)
        connection.output.append("Content-Type: \(MediaType.of(target.path))\r\nCache-Control: no-store\r\n")
        if isChunked { connection.output.append("Transfer-Encoding: chunked\r\n") }
        finishHead(connection)
        guard connection.method != "HEAD" else { return }
        shared.counters.add(.follows)
        followers[watch, default: []].append(connection)
        tools.adopt(file.descriptor)
        var body = ResponseBody(file: file, use: shared.files.enter(file.identity), parts: [])
        body.follow = ResponseBody.Follow(watch: watch, isChunked: isChunked, endsAtClose: endsAtClose, position: 0)
        connection.body = body
    }

    /// All that there was is sent: goes on with what was added meanwhile, waits, or ends. As ``pump(_:)`` returns.
    func continueFollowing(_ connection: Connection) -> Bool {
        guard var follow = connection.body!.follow else { return true }
        if follow.owesLineBreak {
            connection.body!.follow!.owesLineBreak = false
            connection.output.removeAll(keepingCapacity: true)
            connection.output.append("\r\n")
            connection.outputSent = 0
            return true
        }
        let length = connection.body!.file.lengthNow
        guard length >= follow.position else {
            shared.counters.add(.shrunk)
            close(connection, isReset: true)
            return false
        }
        if length > follow.position {
            var lead: [UInt8] = []
            if follow.isChunked {
                lead.append(hexadecimal: length - follow.position)
                lead.append("\r\n")
            }
            connection.body!.parts = [ResponseBody.Part(lead: lead, range: follow.position..<length)]
            connection.body!.next = 0
            follow.position = length
            follow.owesLineBreak = follow.isChunked
            connection.body!.follow = follow
            return true
        }
        guard follow.isComplete || isDraining else {
            connection.phase = .following
            connection.deadline = .max
            return true
        }
        connection.output.removeAll(keepingCapacity: true)
        connection.outputSent = 0
        if follow.isChunked { connection.output.append("0\r\n\r\n") }
        endBody(connection)
        return true
    }

    /// Takes what inotify tells of the files that are followed.
    func takeFileEvents() {
        while true {
            let count = unsafe read(inotify, scratch, 16 << 10)
            guard count > 0 else { return }
            var place = 0
            while place < count {
                var watch: Int32 = 0
                var event: UInt32 = 0
                let length = unsafe Int(spillway_inotify_next(scratch + place, UInt32(count - place), &watch, &event))
                guard length > 0 else { break }
                place += length
                if event & SPILLWAY_INOTIFY_OVERFLOW.rawValue != 0 {
                    // Some event was lost: everybody looks for himself.
                    for connection in followers.values.joined() { resume(connection, 0) }
                } else {
                    for connection in followers[watch] ?? [] { resume(connection, event) }
                }
            }
        }
    }

    private func resume(_ connection: Connection, _ event: UInt32) {
        guard let follow = connection.body?.follow else { return }
        // A change of attributes is how a file tells that it lost a name; another name it may still have.
        let isChanged = event & SPILLWAY_INOTIFY_CHANGED.rawValue != 0
        let isGone = event & SPILLWAY_INOTIFY_MOVED.rawValue != 0 || isChanged && !connection.body!.file.hasName
        let isClosed = follow.endsAtClose && event & SPILLWAY_INOTIFY_CLOSED.rawValue != 0
        if isClosed || isGone { connection.body!.follow!.isComplete = true }
        if connection.phase == .following { goOn(connection) }
    }

    /// The server ends, and with it what it follows.
    func endFollowing(_ connection: Connection) {
        connection.body?.follow?.isComplete = true
        goOn(connection)
    }

    private func goOn(_ connection: Connection) {
        connection.phase = .sending
        connection.deadline = now &+ shared.options.sendTimeout
        enqueue(connection)
    }

    func unfollow(_ connection: Connection) {
        guard let watch = connection.body?.follow?.watch else { return }
        followers[watch]?.removeAll { $0 === connection }
        guard followers[watch]?.isEmpty == true else { return }
        followers[watch] = nil
        spillway_inotify_end(inotify, watch)
    }
}
