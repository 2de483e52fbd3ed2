internal import Machine

/// Everything that ends the reading of the input. Looked at between bursts, so it is made of words and nothing else.
struct StopFlags: Sendable {
    /// A signal, or the time is over.
    let asked: StopFlag
    /// The number of packets asked for is reached.
    let counted: StopFlag
    /// No destination makes progress any more.
    let idle: StopFlag
    /// A second signal.
    let abort: StopFlag

    /// Whether any of them is set.
    var isSet: Bool {
        @_noLocks get { asked.isSet || counted.isSet || idle.isSet || abort.isSet }
    }
}
