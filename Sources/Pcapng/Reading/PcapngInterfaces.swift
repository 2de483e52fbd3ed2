/// Interface Description Blocks: link type u16, unused u16, snap length u32, options.
extension CaptureFileParser {
    @_noLocks
    mutating func interfaceBlock(_ input: borrowing InputWindow) -> ParserEvent {
        let length = input.word(at: 4)
        let fixedBytes = BlockSize.interfaceHeader
        if let event = checkLength(length, atLeast: UInt32(fixedBytes + BlockSize.trailer)) {
            return event
        }
        guard Int(length) <= Self.windowBytesMax else { return fail(.interfaceBlockTooLarge) }
        if let event = checkWholeBlock(input, length: length) { return event }
        guard interfaces.count < Self.interfacesMax else { return fail(.tooManyInterfaces) }
        guard let times = timeOptions(input, length: Int(length)) else { return fail(.badInterfaceOption) }
        pending = InterfaceEntry(
            index: interfacesTotal, snapLength: input.word(at: 12),
            scale: TimestampScale(resolution: times.resolution, offsetSeconds: times.offset))
        consume(Int(length))
        return .interface
    }

    /// Unit and offset of the time stamps, nil when an option is malformed. A wrong time would be worse than none.
    @_noLocks
    private func timeOptions(
        _ input: borrowing InputWindow, length: Int
    ) -> (resolution: UInt8, offset: Int64)? {
        var resolution: UInt8?
        var offset: Int64?
        var options = OptionReader(
            from: BlockSize.interfaceHeader, to: length - BlockSize.trailer)
        while let option = options.next(in: input) {
            if option.code == 9 && resolution == nil {
                guard option.length == 1 else { return nil }
                resolution = input.byte(at: option.valueOffset)
            } else if option.code == 14 && offset == nil {
                guard option.length == 8 else { return nil }
                offset = Int64(bitPattern: input.long(at: option.valueOffset))
            }
        }
        return options.isMalformed ? nil : (resolution ?? 6, offset ?? 0)
    }

    /// Takes the description of the interface that the last step announced. It must be called once after each
    /// `interface` event, before the next step and with the same window. Not for the data plane: it allocates.
    public mutating func takeInterface(_ window: UnsafeRawBufferPointer) -> InterfaceDescription {
        guard let entry = pending, let start = window.baseAddress, window.count >= consumed else {
            preconditionFailure("takeInterface needs an interface event, and the window of it")
        }
        pending = nil
        interfaces.append(entry)
        interfacesTotal &+= 1
        let input = unsafe InputWindow(
            start: start, count: consumed, isLast: false, isSwapped: isSwapped)
        if case .classicRecords = mode { return classicInterface(input) }
        var result = InterfaceDescription(
            linkType: LinkType(input.half(at: 8)), snapLength: input.word(at: 12))
        if let times = timeOptions(input, length: consumed) {
            result.timestampResolution = times.resolution
            result.timestampOffset = times.offset
        }
        var options = OptionReader(
            from: BlockSize.interfaceHeader, to: consumed - BlockSize.trailer)
        while let option = options.next(in: input) { result.take(option, in: input) }
        return result
    }
}
