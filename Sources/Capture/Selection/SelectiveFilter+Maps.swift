internal import CXDP
import Glibc
import Machine

extension SelectiveFilter {
    /// How many prefixes of each version there are, for the sizes of the maps.
    var prefixCounts: (ipv4: UInt32, ipv6: UInt32) {
        let four = prefixes.keys.count { $0.bytes.count == 4 }
        return (UInt32(four), UInt32(prefixes.count - four))
    }

    /// Enters all that the filter asks about into the maps of a program that was loaded with its constants.
    func enter(into maps: spillway_xdp_program) throws(SystemError) {
        for (prefix, ends) in prefixes {
            if prefix.bytes.count == 4 {
                var key = spillway_prefix4()
                key.length = UInt32(prefix.length)
                unsafe withUnsafeMutableBytes(of: &key.address) { unsafe $0.copyBytes(from: prefix.bytes) }
                try Self.set(maps.prefixes4, key, ends)
            } else {
                var key = spillway_prefix6()
                key.length = UInt32(prefix.length)
                unsafe withUnsafeMutableBytes(of: &key.address) { unsafe $0.copyBytes(from: prefix.bytes) }
                try Self.set(maps.prefixes6, key, ends)
            }
        }
        for (port, ends) in ports { try Self.set(maps.ports, UInt32(port), ends) }
        for (number, versions) in protocols { try Self.set(maps.protocols, UInt32(number), versions) }
    }

    private static func set<Key: BitwiseCopyable, Value: BitwiseCopyable>(
        _ map: Int32, _ key: Key, _ value: Value
    ) throws(SystemError) {
        let status = unsafe withUnsafeBytes(of: key) { key in
            unsafe withUnsafeBytes(of: value) { value in
                unsafe spillway_xdp_set(map, key.baseAddress, value.baseAddress)
            }
        }
        if status != 0 { throw SystemError("bpf", "entering the selective filter", code: status) }
    }
}
