internal import CMachine
internal import Glibc
internal import Machine
internal import Synchronization

/// Requests that take a while: a thread of its own answers them, waiting where it must.
extension ServeLoop {
    /// Threads at a time, over all loops.
    static let lentMost = 8

    func sendIndex(_ connection: Connection, _ directory: OpenFile, _ target: RequestTarget) {
        let wantsJSON =
            target.value("format") == "json"
            || target.value("format") == nil && (head.text(.accept)?.contains("application/json") ?? false)
        let path = target.path
        lend(connection) { writer in
            let index: DirectoryIndex
            do throws(OpenFile.Fault) { index = try DirectoryIndex(directory) } catch {
                return writer.fail(.internalError)
            }
            let text = wantsJSON ? index.json : index.html(of: path)
            let type = wantsJSON ? "application/json" : "text/html; charset=utf-8"
            writer.whole(type: type, extra: "Vary: Accept\r\n", Array(text.utf8))
        }
    }

    func sendQuery(_ connection: Connection, _ directory: OpenFile, _ request: CaptureQuery.Request) {
        // Filters can take long to compile, so that not even the question is understood by the loop.
        lend(connection) { [shared] writer in
            do throws(CaptureQuery.Fault) {
                let query = try CaptureQuery(request, now: Clock.realtime())
                shared.counters.add(.queries)
                query.run(directory, writer)
            } catch {
                // What is wrong with a filter is libpcap's sentence about the client's own words.
                writer.fail(.badRequest, error.reason)
            }
        }
    }

    /// Gives the connection to a thread until the response is sent.
    private func lend(_ connection: Connection, _ answer: @escaping @Sendable (LentWriter) -> Void) {
        guard shared.queries.add(1, ordering: .relaxed).newValue <= Self.lentMost else {
            _ = shared.queries.subtract(1, ordering: .relaxed)
            return fail(connection, .serviceUnavailable, extra: "Retry-After: 1\r\n")
        }
        _ = epoll_ctl(epoll, EPOLL_CTL_DEL, connection.descriptor, nil)
        connection.phase = .lent
        let order = LentWriter.Order(
            descriptor: connection.descriptor, isHead: connection.method == "HEAD", isChunked: head.version == 11,
            keepsAlive: connection.keepsAlive, date: date.text)
        let (shared, returns, client, place) = (shared, returns, connection.client, connection.place)
        do throws(SystemError) {
            try PinnedThread(name: "query", cpus: shared.options.cpus) {
                let writer = LentWriter(order, shared, client)
                answer(writer)
                _ = shared.queries.subtract(1, ordering: .relaxed)
                returns.put(place, writer.result)
            }.detach()
        } catch {
            _ = shared.queries.subtract(1, ordering: .relaxed)
            comeBack((place, LentResult(status: 0, bytes: 0, keepsAlive: false)))
        }
    }

    /// A thread has answered.
    func comeBack(_ lent: (place: Int, result: LentResult)) {
        guard let connection = connections[lent.place], connection.phase == .lent else { return }
        connection.phase = .head
        connection.status = lent.result.status
        connection.sentBytes = lent.result.bytes
        log(connection)
        connection.isReadable = true
        connection.isWritable = true
        watch(connection.descriptor, .connection(connection.place))
        connection.deadline = now &+ shared.options.idleTimeout
        if lent.result.keepsAlive, !isDraining { return enqueue(connection) }
        shutDown(connection)
    }
}
