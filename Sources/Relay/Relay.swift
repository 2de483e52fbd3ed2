internal import Egress
internal import Glibc
internal import Machine

/// The relay: packets in, newest first, out over TCP, in bounded memory.
public enum Relay {
    /// The first thing a program does that will run a relay: SIGHUP, which asks to read a configuration again, waits until
    /// there is a run to ask. By default it would end the process.
    public static func holdReload() { SignalWatch.holdReload() }

    /// Runs to the end (signals, count, duration, end of files) and says what happened.
    ///
    /// - Throws: `RelayError` if the run cannot start.
    public static func run(_ options: RelayOptions, console: RelayConsole) throws(RelayError) -> RunReport {
        // Until the run is set up a signal ends the process as usual: names that do not resolve and a named pipe that
        // nobody reads yet may hold it up for long. Threads start later, with every signal blocked.
        let run = try RelayRun(options, console: console)
        let signals = try SignalWatch()
        run.interfaces.prepare()
        for line in run.startLines { console.log(line) }
        try run.start()
        run.watch(signals)
        run.endServing(signals)
        return run.finish()
    }
}
