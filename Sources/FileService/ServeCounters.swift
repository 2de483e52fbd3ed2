internal import Synchronization
internal import Telemetry

/// Everything `serve` counts, declared once: from here come the metrics and the report.
enum ServeCounter: Int, CaseIterable, Sendable {
    case connections, refusedConnections, requests, bytes
    case zeroCopyBytes, copiedBytes, waits, loadWaits
    case success, redirection, clientErrors, serverErrors
    case malformed, timeouts, shrunk, broken, denied, limited, queries, follows

    /// The key in the report, and a line about it.
    var entry: (name: String, help: String) {
        switch self {
        case .connections: ("connections", "Connections accepted")
        case .refusedConnections: ("refused_connections", "Connections turned away because there were too many")
        case .requests: ("requests", "Requests answered")
        case .bytes: ("sent_bytes", "Bytes given to sockets, heads included")
        case .zeroCopyBytes: ("file_bytes", "Bytes of files given to sockets by the chosen method")
        case .copiedBytes: ("copied_bytes", "Bytes of small files copied beside their head")
        case .waits: ("socket_waits", "Times a socket took no more")
        case .loadWaits: ("load_waits", "Times a transfer waited for its file to be read from disk")
        case .success: ("responses_2xx", "Responses of class 2xx")
        case .redirection: ("responses_3xx", "Responses of class 3xx")
        case .clientErrors: ("responses_4xx", "Responses of class 4xx")
        case .serverErrors: ("responses_5xx", "Responses of class 5xx")
        case .malformed: ("malformed", "Requests that were not HTTP as it should be")
        case .timeouts: ("timeouts", "Connections ended because the peer was too slow")
        case .shrunk: ("shrunk", "Transfers ended because their file became shorter")
        case .broken: ("broken", "Responses that could not be sent to their end")
        case .denied: ("denied", "Requests without a valid token or link")
        case .limited: ("rate_waits", "Times a transfer waited because of a rate limit")
        case .queries: ("queries", "Queries over captures")
        case .follows: ("follows", "Files followed while they grew")
        }
    }
}

/// The counters, added to by loops, read by anybody.
@safe final class ServeCounters: @unchecked Sendable {
    // Safe because the words are never freed and only touched atomically.
    private let words: UnsafeMutablePointer<Atomic<UInt64>>

    init() {
        unsafe words = .allocate(capacity: ServeCounter.allCases.count)
        for place in ServeCounter.allCases.indices { unsafe (words + place).initialize(to: Atomic(0)) }
    }

    func add(_ counter: ServeCounter, _ count: UInt64 = 1) {
        _ = unsafe words[counter.rawValue].add(count, ordering: .relaxed)
    }

    func value(_ counter: ServeCounter) -> UInt64 { unsafe words[counter.rawValue].load(ordering: .relaxed) }

    /// Counts a response by its class.
    func add(response code: UInt16) {
        add(.requests)
        switch code {
        case ..<300: add(.success)
        case ..<400: add(.redirection)
        case ..<500: add(.clientErrors)
        default: add(.serverErrors)
        }
    }

    /// The counters as metrics.
    var families: [MetricsText.Family] {
        ServeCounter.allCases.map { counter in
            MetricsText.Family("serve_\(counter.entry.name)", counter.entry.help, [([], "\(value(counter))")])
        }
    }
}
