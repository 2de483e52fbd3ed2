/// Block types of pcapng (draft-ietf-opsawg-pcapng section 4) and Spillway's local-use blocks (docs/format.md).
public enum BlockType {
    /// Section Header Block; the same in both byte orders.
    public static var sectionHeader: UInt32 { @_noLocks @inlinable get { 0x0A0D_0D0A } }
    /// Interface Description Block.
    public static var interfaceDescription: UInt32 { @_noLocks @inlinable get { 1 } }
    /// Interface Statistics Block.
    public static var interfaceStatistics: UInt32 { @_noLocks @inlinable get { 5 } }
    /// Enhanced Packet Block.
    public static var enhancedPacket: UInt32 { @_noLocks @inlinable get { 6 } }
    /// Spillway: the trailer that closes a batch.
    public static var batchTrailer: UInt32 { @_noLocks @inlinable get { 0x8053_5054 } }
    /// Spillway: what a lane is for.
    public static var lane: UInt32 { @_noLocks @inlinable get { 0x8053_504C } }

    /// Spillway: what a section of a cache file is for.
    public static var cacheHeader: UInt32 { @_noLocks @inlinable get { 0x8053_5052 } }
    /// Spillway: the checksum of the blocks of a cache file that are in no batch.
    public static var check: UInt32 { @_noLocks @inlinable get { 0x8053_5043 } }
    /// Spillway: the end of a sealed cache file.
    public static var cacheFooter: UInt32 { @_noLocks @inlinable get { 0x8053_5046 } }

    /// Snapshot length in every interface description; no record holds more captured bytes.
    public static var snapshotLength: Int { @_noLocks @inlinable get { 262144 } }
}

#if _endian(big)
    #error("records are written little endian by plain stores; a big-endian machine needs byte swaps here")
#endif
