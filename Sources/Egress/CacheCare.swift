internal import Machine
internal import Pcapng
internal import SpillCache

/// What the control plane keeps about a cache: earlier runs, who the destinations are, and what is to be done when.
struct CacheCare {
    /// All runs there are batches of; the present one first.
    var runs: [RunIdentity]
    /// Which batches the files of earlier lives hold, by their places.
    var ranges: [UInt32: [BatchRange]] = [:]
    /// Where the numbers of earlier runs end, by lane.
    var marks: [BatchLane: UInt64] = [:]
    /// What a section of an earlier run begins with, by the run's place and how many interfaces it describes.
    var headers: [HeaderKey: (base: UInt, count: UInt32)] = [:]
    /// The destinations by claimant: their names, and the places of their connections.
    var names: [String] = []
    var connections: [Int] = []
    /// What each of them has said that it has.
    var had: [BatchSet] = []
    /// What a destination was not sent of a file when it was last looked through for what others may take over: that stays.
    var staying: [Claim: UInt32] = [:]
    /// Those that have greeted once.
    var greeted: Set<String> = []
    /// Destinations of earlier lives that are none of this one.
    var former: Set<String> = []
    /// Files of earlier lives by their places, until this run writes down what it knows. What is owed to destinations of this
    /// run is taken out of them: what is left is owed to former ones.
    var earlier: [UInt32: EarlierFile] = [:]
    /// Those of them that former destinations are owed something of, or nobody. They stay until the input has begun: a start
    /// that fails changes nothing.
    var held: Set<UInt32> = []
    /// Whether batches have passed from one destination to another.
    var hasPassed = false
    /// Whether this run writes down who there is and what they are owed, and whether it has begun to.
    var (hasNotes, hasBegunNotes) = (false, false)
    /// The file that a destination will be sent from next, by claimant, as it was looked up last.
    var ahead: [Int: UInt32] = [:]
    /// Files whose maps are on their way.
    var recalled: Set<UInt32> = []
    /// How far open files are synced.
    var synced: [UInt32: UInt64] = [:]
    /// When all files are next looked at (monotonic).
    var nextLook: UInt64 = 0
    /// When is next written down what is owed (monotonic).
    var nextNote: UInt64 = 0
    /// Whether the cache is as large as it may be with what is owed alone, so that what is led to disk pushes other packets
    /// out. It is over when a good part of it has been delivered.
    var isOverfull = false
    /// The last failure that was said (errno).
    var saidFailure: Int32 = 0

    /// What is written down about who there is.
    var known: KnownDestinations {
        KnownDestinations(names: presentNames, greeted: greeted, hasPassed: hasPassed, run: runs[0])
    }

    struct HeaderKey: Hashable {
        var run: UInt16
        var interfaces: Int
    }

    struct Claim: Hashable {
        var claimant: Int
        var file: UInt32
    }

    /// Names without the places that nobody has.
    var presentNames: [String] { names.filter { !$0.isEmpty } }

    init(run: RunIdentity) { runs = [run] }

    /// There is no file at this place any more.
    mutating func forget(_ place: UInt32) {
        (ranges[place], synced[place], earlier[place]) = (nil, nil, nil)
        held.remove(place)
    }

    /// A run's place, taken in if it is new.
    mutating func place(of run: RunIdentity) -> UInt16 {
        if let place = runs.firstIndex(of: run) { return UInt16(place) }
        runs.append(run)
        return UInt16(runs.count - 1)
    }
}
