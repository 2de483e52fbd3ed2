import Glibc
import Machine
import Pcapng
import SpillCache
import TestSupport
import Testing

/// The folder if it is there.
private func findFolder(_ path: String) -> String? { (try? directoryEntries(path)) == nil ? nil : path }

@Suite("Cache files with missing or wrong bytes")
struct DamageTests {
    /// Thousands of small files are written here; a disk would have to sync each.
    static let memory = findFolder("/dev/shm")
    static let runs = [SampleRun(seed: 11, interfaces: 2), SampleRun(seed: 12)]

    /// A small file of two sections, and where each batch ends.
    private func sample(_ rig: CacheRig, sealed: Bool) throws -> (bytes: [UInt8], batches: [SampleBatch], ends: [Int]) {
        var writer = try rig.writer()
        var ends: [Int] = []
        let batches = (0..<5).map { CacheRig.batch($0, of: Self.runs[$0 < 3 ? 0 : 1], packets: 2, length: 8) }
        for batch in batches {
            try CacheRig.append([batch], to: &writer)
            ends.append(Int(writer.end))
        }
        if sealed { try writer.seal() }
        let name = sealed ? rig.plan().name.sealed : rig.plan().name.open
        return (try readFile("\(rig.directory.path)/\(name)"), batches, ends)
    }

    @Test(
        "Cut at every offset: exactly the whole batches before the cut, the rest is a torn tail",
        arguments: [false, true])
    func truncation(sealed: Bool) throws {
        try withTemporaryDirectory(in: Self.memory) { folder in
            let rig = try CacheRig(folder)
            let (bytes, batches, ends) = try sample(rig, sealed: sealed)
            for count in 0..<bytes.count {
                try writeFile("\(folder)/cut", Array(bytes[..<count]))
                let (found, report) = try rig.scan("cut")
                let whole = ends.filter { $0 <= count }.count
                #expect(found == batches.prefix(whole).map(\.bytes), "cut to \(count)")
                #expect(report.footer == nil && report.damagedPlaces == 0)
                #expect(report.end + report.tornBytes == UInt64(count), "cut to \(count)")
                #expect(report.end >= UInt64(ends.last { $0 <= count } ?? 0))
            }
        }
    }

    @Test(
        "Every byte flipped in turn: never a batch that was not written, and always noticed",
        arguments: [false, true])
    func flips(sealed: Bool) throws {
        try withTemporaryDirectory(in: Self.memory) { folder in
            let rig = try CacheRig(folder)
            let (bytes, batches, ends) = try sample(rig, sealed: sealed)
            let written = batches.map(\.bytes)
            var lost = 0
            for offset in bytes.indices {
                var damaged = bytes
                damaged[offset] ^= UInt8(1 << (offset % 8))
                try writeFile("\(folder)/flipped", damaged)
                let (found, report) = try rig.scan("flipped")
                var rest = written[...]
                for batch in found {
                    guard let place = rest.firstIndex(of: batch) else {
                        Issue.record("a foreign or repeated batch after a flip at \(offset)")
                        break
                    }
                    rest = rest[(place + 1)...]
                }
                let isVersion = report.foreignVersion != nil
                #expect(report.damagedPlaces > 0 || report.tornBytes > 0 || isVersion, "flip at \(offset)")
                if isVersion { continue }
                // A flip inside a batch costs that batch and no other.
                let hit = ends.indices.first { offset < ends[$0] && offset >= ends[$0] - written[$0].count }
                if let hit {
                    let others = written.indices.filter { $0 != hit }.map { written[$0] }
                    #expect(found == others, "flip at \(offset)")
                } else if offset >= ends[ends.count - 1] {
                    #expect(found == written)
                }
                lost += written.count - found.count
            }
            #expect(lost > 0)
        }
    }

    @Test("A flipped footer is refused, one of another version as well, and the summary alone shows it")
    func footerFlips() throws {
        try withTemporaryDirectory(in: Self.memory) { folder in
            let rig = try CacheRig(folder)
            let (bytes, _, ends) = try sample(rig, sealed: true)
            for offset in ends[4]..<bytes.count {
                var damaged = bytes
                damaged[offset] ^= 0x10
                try writeFile("\(folder)/flipped", damaged)
                #expect(throws: CacheError.self, "flip at \(offset)") {
                    _ = try CacheReader.footer("flipped", in: rig.directory)
                }
                if offset >= bytes.count - 160 {
                    #expect(throws: CacheError.self) { _ = try CacheReader.summary("flipped", in: rig.directory) }
                }
            }
        }
    }

    @Test("A file found torn is cut, gone on with, and holds old and new batches; what was good is not changed")
    func recovery() throws {
        try withTemporaryDirectory(in: Self.memory) { folder in
            let rig = try CacheRig(folder)
            let (bytes, batches, ends) = try sample(rig, sealed: false)
            let path = "\(folder)/\(rig.plan().name.open)"
            for count in stride(from: 0, to: bytes.count, by: 7) {
                try writeFile(path, Array(bytes[..<count]))
                var recovered = try CacheFileWriter.recovering(rig.plan().name, in: rig.directory, application: "test")
                let end = Int(recovered.report.end)
                #expect(try recovered.writer == nil || readFile(path) == Array(bytes[..<end]))
                guard var writer = recovered.writer.take() else {
                    #expect(ends[0] > count)
                    continue
                }
                #expect(writer.plan.window == CacheRig.window && writer.plan.sensor == "sensor.a")
                let more = CacheRig.batch(9, of: Self.runs[0])
                try CacheRig.append([more], to: &writer)
                try writer.seal()
                let whole = batches.prefix(ends.filter { $0 <= count }.count).map(\.bytes)
                let (found, report) = try rig.scan(rig.plan().name.sealed)
                #expect(found == whole + [more.bytes] && report.damagedPlaces == 0 && report.footer != nil)
                #expect(try Array(readFile("\(folder)/\(rig.plan().name.sealed)").prefix(end)) == Array(bytes[..<end]))
                try unsafe #require(unlink("\(folder)/\(rig.plan().name.sealed)") == 0)
            }
        }
    }

    @Test("A full disk is an error of the call; the file stays whole, and goes on when there is room")
    func fullDisk() throws {
        try requireRoot()
        try withTemporaryDirectory(in: Self.memory) { folder in
            try TestSupport.run("mount", ["-t", "tmpfs", "-o", "size=256k", "none", folder]).checked()
            defer { _ = try? TestSupport.run("umount", ["-l", folder]) }
            try writeFile("\(folder)/ballast", [UInt8](repeating: 1, count: 100 << 10))
            let rig = try CacheRig(folder)
            var writer = try rig.writer()
            var written: [[UInt8]] = []
            var refused = 0
            for number in 0..<60 as Range<UInt64> {
                let batch = CacheRig.batch(number, of: Self.runs[0], packets: 3, length: 1400)
                do {
                    try CacheRig.append([batch], to: &writer)
                    written.append(batch.bytes)
                } catch let error as SystemError {
                    #expect(error.code == ENOSPC)
                    refused += 1
                    if refused == 3 { try unsafe #require(unlink("\(folder)/ballast") == 0) }
                }
                let (found, report) = try rig.scan(rig.plan().name.open)
                #expect(found == written && report.damagedPlaces == 0 && report.tornBytes == 0)
            }
            #expect(refused >= 3 && written.count > 40)
        }
    }

    @Test("Batches that check but are not what they say are refused")
    func lies() throws {
        let run = Self.runs[0]
        let good = CacheRig.batch(0, of: run, packets: 3, length: 10)
        func isGood(_ bytes: [UInt8]) -> Bool {
            unsafe bytes.withUnsafeBytes { unsafe BatchCheck($0.baseAddress!, byteCount: $0.count) } != nil
        }
        #expect(isGood(good.bytes))
        let trailer = good.bytes.count - 96
        // Each of these numbers is made wrong, and the checksum right again.
        for offset in [40, 48, 56, 64, 72] {
            var bytes = good.bytes
            bytes[trailer + offset] ^= 1
            if offset == 72 { bytes[trailer + 79] = 0xff }
            #expect(!isGood(resealed(bytes)), "trailer's byte \(offset)")
        }
        for (offset, value) in [(0, UInt8(7)), (4, 48), (20, 200), (22, 9)] {
            var bytes = good.bytes
            bytes[offset] = value
            #expect(!isGood(resealed(bytes)), "record's byte \(offset)")
        }
        var number = good.bytes
        number[trailer + 39] = 0x80
        #expect(!isGood(resealed(number)))
    }

    private func resealed(_ bytes: [UInt8]) -> [UInt8] {
        var bytes = bytes
        let crc = referenceCRC32C(bytes[..<(bytes.count - 8)])
        for place in 0..<4 { bytes[bytes.count - 8 + place] = UInt8(truncatingIfNeeded: crc >> UInt32(8 * place)) }
        return bytes
    }
}
