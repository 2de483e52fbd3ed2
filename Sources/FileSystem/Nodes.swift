import Synchronization

/// What a name of the mount stands for.
enum NodeKind {
    /// A directory of the source, seen with these options.
    case directory(ControlScope)
    /// Capture files as one stream.
    case stream(ChainNames, ControlScope)
    /// A file that is no capture, as it is: its path in the source.
    case plain(String)
    case control(ControlName, ControlScope)
}

/// The names the kernel knows, by the numbers it knows them by.
///
/// A directory has a node for every path that leads to it: the kernel wants directories to have one parent.
final class Nodes: Sendable {
    private struct Place: Hashable {
        let parent: UInt64
        let name: String
    }

    private struct Node {
        var kind: NodeKind
        let place: Place
        /// How often the kernel looked it up and did not forget it.
        var lookups: UInt64
    }

    private struct Table {
        var nodes: [UInt64: Node] = [:]
        var numbers: [Place: UInt64] = [:]
        var next: UInt64 = 2
    }

    private let table: Mutex<Table>

    /// The number of the root (FUSE_ROOT_ID).
    static let root: UInt64 = 1

    init(root scope: ControlScope) {
        var table = Table()
        table.nodes[Self.root] = Node(
            kind: .directory(scope), place: Place(parent: 0, name: ""), lookups: 1)
        self.table = Mutex(table)
    }

    subscript(number: UInt64) -> NodeKind? { table.withLock { $0.nodes[number]?.kind } }

    /// The name under which a node was looked up.
    func name(_ number: UInt64) -> String { table.withLock { $0.nodes[number]?.place.name ?? "" } }

    /// Notes that the kernel looked up a name, and gives its number.
    ///
    /// - Parameter isOutdated: whether a number must not be used again.
    func lookUp(
        _ name: String, in parent: UInt64, _ kind: NodeKind, isOutdated: (UInt64) -> Bool = { _ in false }
    ) -> UInt64 {
        let place = Place(parent: parent, name: name)
        let known = table.withLock { $0.numbers[place] }
        let outdated = known.flatMap { isOutdated($0) ? $0 : nil }
        return table.withLock { table in
            if let number = table.numbers[place], number != outdated {
                table.nodes[number]!.kind = kind
                table.nodes[number]!.lookups += 1
                return number
            }
            let number = table.next
            table.next += 1
            table.numbers[place] = number
            table.nodes[number] = Node(kind: kind, place: place, lookups: 1)
            return number
        }
    }

    /// The kernel forgot some lookups.
    func forget(_ number: UInt64, _ count: UInt64) {
        guard number != Self.root else { return }
        table.withLock { table in
            guard let node = table.nodes[number] else { return }
            if node.lookups > count {
                table.nodes[number]!.lookups -= count
            } else {
                table.nodes[number] = nil
                if table.numbers[node.place] == number { table.numbers[node.place] = nil }
            }
        }
    }
}
