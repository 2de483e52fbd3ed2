internal import Capture
internal import Machine
internal import Pcapng
internal import Synchronization

/// The interfaces of a run, opened before anything else starts and handed to their capture threads once.
@safe final class LiveInterfaces: @unchecked Sendable {
    // Safe because each place is taken once, by the thread that then owns the interface.
    private let places: UnsafeMutablePointer<PcapInterface?>
    let count: Int
    /// Some interface's kernel cannot apply the filter, so the workers must.
    private(set) var filterInUserSpace = false

    init(_ options: RelayOptions) throws(RelayError) {
        let names = options.inputs.compactMap { if case .interface(let name) = $0 { name } else { nil } }
        count = names.count
        unsafe places = UnsafeMutablePointer<PcapInterface?>.allocate(capacity: max(count, 1))
        for (number, name) in names.enumerated() {
            do throws(PcapInterfaceError) {
                let interface = try PcapInterface(
                    name, filter: options.filter ?? "", ringBytes: MemoryBudget.kernelRingBytes)
                if !interface.filtersInKernel { filterInUserSpace = true }
                unsafe (places + number).initialize(to: interface)
            } catch {
                throw RelayError(error)
            }
        }
    }

    /// The interface at this place; the caller owns it from now on.
    func take(_ place: Int) -> PcapInterface {
        unsafe places[place].take()!
    }

    /// Looks at an interface without taking it.
    func label(_ place: Int, filter: String?) -> (name: String, label: InterfaceLabel) {
        switch unsafe places[place] {
        case .some(let interface): (interface.name, interface.label(filter: filter))
        case .none: preconditionFailure("an interface is looked at before it is taken")
        }
    }
}
