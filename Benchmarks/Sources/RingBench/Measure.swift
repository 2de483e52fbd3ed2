import Machine
import Synchronization

/// 16 bytes that show whether they came through whole and in order.
struct Element: BitwiseCopyable {
    var sequence: UInt64
    var complement: UInt64

    @inline(__always)
    init(_ sequence: UInt64) { (self.sequence, complement) = (sequence, ~sequence) }

    @inline(__always)
    func isNumber(_ number: UInt64) -> Bool { sequence == number && complement == ~number }
}

/// Both threads wait here until the other is there.
final class Meeting: Sendable {
    private let arrived = Atomic<Int>(0)

    func wait() {
        arrived.wrappingAdd(1, ordering: .acquiringAndReleasing)
        while arrived.load(ordering: .acquiring) < 2 {}
    }
}

/// Sends `elements` elements through a ring of 4096 slots and checks every one.
func measure(
    elements: UInt64, batch: Int, producerCPU: Int, consumerCPU: Int
) throws(SystemError) -> (seconds: Double, errors: UInt64) {
    let ring = try SPSCRing<Element>(capacity: 4096)
    let meeting = Meeting()
    let producer = try PinnedThread(
        name: "producer", cpus: CPUSet([producerCPU]), pinFailed: { fatalError("\($0)") },
        body: {
            var handle = ring.makeProducer()
            meeting.wait()
            if batch == 1 {
                produceSingle(&handle, elements)
            } else {
                unsafe produceBatches(&handle, elements, batch, .allocate(capacity: batch))
            }
        })
    try CPUSet([consumerCPU]).pinCurrentThread()
    var handle = ring.makeConsumer()
    meeting.wait()
    let start = Clock.monotonic()
    let errors =
        batch == 1
        ? consumeSingle(&handle, elements)
        : unsafe consumeBatches(&handle, elements, batch, .allocate(capacity: batch))
    let seconds = Double(Clock.monotonic() - start) / 1e9
    producer.join()
    return (seconds, errors)
}

@_noLocks
private func produceSingle(_ ring: inout RingProducer<Element>, _ elements: UInt64) {
    var next: UInt64 = 0
    while next < elements {
        if ring.push(Element(next)) {
            ring.publish()
            next &+= 1
        }
    }
}

@_noLocks
private func consumeSingle(_ ring: inout RingConsumer<Element>, _ elements: UInt64) -> UInt64 {
    var next: UInt64 = 0
    var errors: UInt64 = 0
    while next < elements {
        guard let element = ring.pop() else { continue }
        ring.release()
        if !element.isNumber(next) { errors &+= 1 }
        next &+= 1
    }
    return errors
}

@_noLocks
private func produceBatches(
    _ ring: inout RingProducer<Element>, _ elements: UInt64, _ batch: Int, _ block: UnsafeMutablePointer<Element>
) {
    var next: UInt64 = 0
    while next < elements {
        let count = Int(min(UInt64(batch), elements &- next))
        var index = 0
        while index < count {
            unsafe block[index] = Element(next &+ UInt64(index))
            index &+= 1
        }
        var done = 0
        while done < count {
            let pushed = unsafe ring.push(block + done, count: count &- done)
            if pushed > 0 { ring.publish() }
            done &+= pushed
        }
        next &+= UInt64(count)
    }
}

@_noLocks
private func consumeBatches(
    _ ring: inout RingConsumer<Element>, _ elements: UInt64, _ batch: Int, _ block: UnsafeMutablePointer<Element>
) -> UInt64 {
    var next: UInt64 = 0
    var errors: UInt64 = 0
    while next < elements {
        let count = unsafe ring.pop(into: block, count: batch)
        if count > 0 { ring.release() }
        var index = 0
        while index < count {
            if unsafe !block[index].isNumber(next) { errors &+= 1 }
            next &+= 1
            index &+= 1
        }
    }
    return errors
}
