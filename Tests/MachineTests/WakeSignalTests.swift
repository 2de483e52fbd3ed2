import Glibc
import Machine
import Synchronization
import Testing

@Suite("Wake signal", .timeLimit(.minutes(5)))
struct WakeSignalTests {
    private final class Ball: Sendable {
        let turns = Atomic<Int>(0)
        let lost = Atomic<Int>(0)
    }

    /// Sleeps until `turns` is at least `goal`, in the way the signal asks for; false if no wake-up came for seconds.
    private static func wait(_ signal: WakeSignal, _ ball: Ball, until goal: Int) -> Bool {
        while ball.turns.load(ordering: .acquiring) < goal {
            signal.announceSleep()
            if ball.turns.load(ordering: .acquiring) < goal {
                var entry = pollfd(fd: signal.descriptor, events: Int16(POLLIN), revents: 0)
                // A wake-up that is lost is never made up for, so that the time only bounds a failing test.
                if unsafe poll(&entry, 1, 20_000) == 0 {
                    ball.lost.add(1, ordering: .relaxed)
                    return false
                }
            }
            signal.announceAwake()
        }
        return true
    }

    @Test("Two threads that wake each other a hundred thousand times never miss a wake-up")
    func pingPong() throws {
        let (here, there) = (try WakeSignal(), try WakeSignal())
        let ball = Ball()
        let turns = 100_000
        let thread = try PinnedThread(name: "pong", cpus: nil) {
            var goal = 1
            while goal < turns, Self.wait(there, ball, until: goal) {
                ball.turns.store(goal + 1, ordering: .releasing)
                here.wake()
                goal += 2
            }
        }
        var goal = 0
        while goal < turns, Self.wait(here, ball, until: goal) {
            ball.turns.store(goal + 1, ordering: .releasing)
            there.wake()
            goal += 2
        }
        thread.join()
        #expect(ball.lost.load(ordering: .relaxed) == 0)
        #expect(ball.turns.load(ordering: .relaxed) >= turns)
    }

    @Test("Waking somebody who is awake costs no system call; a sleeper's descriptor becomes readable")
    func onlySleepers() throws {
        let signal = try WakeSignal()
        func isReadable() -> Bool {
            var entry = pollfd(fd: signal.descriptor, events: Int16(POLLIN), revents: 0)
            return unsafe poll(&entry, 1, 0) == 1
        }
        signal.wake()
        #expect(!isReadable())
        signal.announceSleep()
        #expect(!isReadable())
        signal.wake()
        #expect(isReadable())
        signal.announceAwake()
        #expect(!isReadable())
        #expect(signal.wake())
        #expect(!isReadable())
        // One that dozes is left alone, unless it is urgent.
        signal.announceSleep(lightly: true)
        #expect(!signal.wake(urgently: false))
        #expect(!isReadable())
        #expect(signal.wake(urgently: true))
        #expect(isReadable())
        signal.announceAwake()
        signal.announceSleep()
        #expect(signal.wake(urgently: false))
        #expect(isReadable())
    }
}
