/// Walks the options of a pcapng block (draft-ietf-opsawg-pcapng, "Options").
struct OptionReader {
    struct Option {
        let code: UInt16
        let valueOffset: Int
        let length: Int
    }

    private var offset: Int
    private let end: Int
    /// True once an option was found that is longer than what is left of the block.
    private(set) var isMalformed = false

    /// - Parameters:
    ///   - offset: where the first option begins in the window.
    ///   - end: where the options end at the latest, which is at the trailing block length.
    @_noLocks
    init(from offset: Int, to end: Int) {
        self.offset = offset
        self.end = end
    }

    /// The next option, nil at the end-of-options option, at the end of the block without one, and at a malformed
    /// option.
    @_noLocks
    mutating func next(in window: borrowing InputWindow) -> Option? {
        guard end - offset >= 4 else { return nil }
        let option = Option(
            code: window.half(at: offset), valueOffset: offset + 4, length: Int(window.half(at: offset + 2)))
        if option.code == 0 { return nil }
        guard option.length <= end - option.valueOffset else {
            isMalformed = true
            return nil
        }
        offset = option.valueOffset + (option.length + 3) & ~3
        return option
    }
}
