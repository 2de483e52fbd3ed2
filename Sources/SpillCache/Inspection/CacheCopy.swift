internal import Machine

/// A sealed file with the good batches of another one, under the same name in another directory.
struct CacheCopy {
    /// Batches that were copied.
    let batches: UInt64
    /// Bytes that were not good.
    let lostBytes: UInt64

    init(
        of name: String, _ cacheName: CacheFileName, in source: DirectoryHandle, to target: DirectoryHandle,
        application: String
    ) throws(SystemError) {
        // What the file is meant for stands in a section that checks; its name alone does not say all of it.
        let first = try CacheScan.run(name, in: source) { _, _ in }
        guard let header = first.header else { throw SystemError("read", "\(source.path)/\(name)", code: 5) }
        let plan = CacheFilePlan(
            kind: header.kind, name: cacheName, sensor: header.sensor, linkType: header.linkType,
            window: header.window, application: application)
        var writer = try CacheFileWriter(plan, in: target)
        let report = try CacheScan.run(name, in: source) { batch, description throws(SystemError) in
            try unsafe writer.append(batch.bytes, [batch.check.trailer], of: description)
        }
        if let section = report.section, section.run == writer.run { try writer.append(preambleFor: section) }
        try writer.seal()
        batches = writer.contents.batches
        lostBytes = report.damagedBytes + report.tornBytes
    }
}
