/// What a file is recognised by between two requests.
struct Validators: Sendable, Equatable {
    /// A strong entity tag, in quotes.
    let tag: String
    /// Seconds since 1970 of the last change.
    let modified: Int

    /// What is to be answered to a request with conditions.
    enum Verdict: Equatable {
        case goOn
        case notModified
        case preconditionFailed
    }

    /// Judges the conditions in the order of RFC 9110, section 13.2.2.
    func judge(_ head: borrowing RequestHead) -> Verdict {
        if let text = head.text(.ifMatch) {
            if !matches(text, weakly: false) { return .preconditionFailed }
        } else if let date = head.text(.ifUnmodifiedSince).flatMap(HTTPDate.seconds), modified > date {
            return .preconditionFailed
        }
        if let text = head.text(.ifNoneMatch) {
            return matches(text, weakly: true) ? .notModified : .goOn
        }
        if let date = head.text(.ifModifiedSince).flatMap(HTTPDate.seconds), modified <= date { return .notModified }
        return .goOn
    }

    /// Whether ranges may be answered under If-Range (section 13.1.5): only when it names exactly this state.
    func allowsRange(_ condition: String?) -> Bool {
        guard let condition else { return true }
        if condition.hasPrefix("\"") { return condition == tag }
        return HTTPDate.seconds(condition) == modified
    }

    private func matches(_ list: String, weakly: Bool) -> Bool {
        if list == "*" { return true }
        return list.split(separator: ",").contains { entry in
            var text = entry.drop { $0 == " " || $0 == "\t" }
            while text.last == " " || text.last == "\t" { text.removeLast() }
            if weakly, text.hasPrefix("W/") { text = text.dropFirst(2) }
            return text == tag
        }
    }
}
