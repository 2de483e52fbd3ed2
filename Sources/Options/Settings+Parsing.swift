/// Single values of each kind, with errors that say what would have been right.
extension LayeredSettings {
    /// The value of an option as `parse` understands it, nil if it was not given.
    func value<Value>(
        _ option: Option, _ expected: String, _ parse: (String) -> Value?
    ) throws(OptionError) -> Value? {
        guard let setting = last(option) else { return nil }
        guard let value = parse(setting.text) else { throw OptionError("\(setting.quotation): write \(expected)") }
        return value
    }

    func size(_ option: Option, _ range: ClosedRange<Int>) throws(OptionError) -> Int? {
        let least = range.lowerBound > 1 ? ", at least \(range.lowerBound) bytes" : ""
        let bounds = range.upperBound == Int.max ? least : ", from \(range.lowerBound) to \(range.upperBound) bytes"
        return try value(option, "a size such as 512M (bytes, or K, M, G, T: powers of 1024)\(bounds)") { text in
            Values.size(text).flatMap { range.contains($0) ? $0 : nil }
        }
    }

    func time(_ option: Option, least: UInt64) throws(OptionError) -> UInt64? {
        let bound = least > 0 ? ", more than none" : ", or 0"
        return try value(option, "a time such as 5ms or 30s (us, ms, s, m, h, d)\(bound), at most 36500d") { text in
            Values.time(text).flatMap { $0 >= least ? $0 : nil }
        }
    }

    /// How long, or how much, is kept.
    func keep() throws(OptionError) -> RunOptions.Keep? where Option == RunOption {
        try value(.keep, "off, a time such as 12h (us, ms, s, m, h, d), or a size such as 50G (K, M, G, T)") {
            (text) -> RunOptions.Keep? in
            if text == "off" { return .off }
            if let time = Values.time(text), time > 0 { return .time(time) }
            return Values.size(text).flatMap { $0 > 0 ? .bytes($0) : nil }
        }
    }

    func count(_ option: Option, _ range: ClosedRange<UInt64>) throws(OptionError) -> UInt64? {
        try value(option, "a whole number from \(range.lowerBound) to \(range.upperBound)") { text in
            Values.count(text).flatMap { range.contains($0) ? $0 : nil }
        }
    }

    func choice<Choice: RawRepresentable<String> & CaseIterable>(
        _ option: Option
    ) throws(OptionError) -> Choice? {
        let allowed = Choice.allCases.map(\.rawValue).joined(separator: ", ")
        return try value(option, "one of \(allowed)") { Choice(rawValue: $0) }
    }

    /// For options that have no value on the command line.
    func flag(_ option: Option) throws(OptionError) -> Bool? {
        try value(option, "true or false") { ["true": true, "false": false][$0] }
    }

    /// For options that have one value so far.
    func checkOnlyValue(_ option: Option, _ only: String) throws(OptionError) {
        _ = try value(option, "\(only), the only value so far") { $0 == only ? true : nil }
    }

    func path(_ option: Option) throws(OptionError) -> String? {
        try value(option, "the path of a file, or - for standard output") { isPath($0) ? $0 : nil }
    }

    func plainPath(_ option: Option) throws(OptionError) -> String? {
        try value(option, "the path of a file") { isPath($0) && $0 != "-" ? $0 : nil }
    }

    func address(_ option: Option) throws(OptionError) -> Address? {
        try value(option, "ADDR:PORT, such as 127.0.0.1:9100 or [::1]:9100") { Address.listening($0) }
    }

    /// What a path may be: not empty, and without the byte that ends it in the kernel.
    func isPath(_ text: String) -> Bool {
        !text.isEmpty && !text.utf8.contains(0)
    }
}

/// The options of a run that have a kind of their own.
extension Settings {
    private func cpus(_ option: RunOption) throws(OptionError) -> [Int]? {
        try value(option, "a list of CPU numbers below 1024, such as 2-5,8", Values.cpus)
    }

    var name: String? {
        get throws(OptionError) {
            try value(.name, "a name of 1 to 64 characters A-Z a-z 0-9 . _ - that does not begin with a dot") {
                Values.isName($0) ? $0 : nil
            }
        }
    }

    func snapLength() throws(OptionError) -> UInt32? {
        // 0 means the greatest length, as in tcpdump.
        try count(.snaplen, 0...262_144).map { $0 == 0 ? 262_144 : UInt32($0) }
    }

    func pace() throws(OptionError) -> Pace? {
        try value(.pace, "max, recorded, or a rate such as 100Kpps or 2.5Gbps (K, M, G: powers of 1000)", Values.pace)
    }

    func segmentSize() throws(OptionError) -> Int? {
        try value(.segmentSize, "512K, 1M, 2M, 4M, 8M, 16M or 32M") { text in
            guard let size = Values.size(text), (512 << 10...32 << 20).contains(size), size & (size - 1) == 0
            else { return nil }
            return size
        }
    }

    func placement() throws(OptionError) -> RunOptions.Placement {
        RunOptions.Placement(
            capture: try cpus(.captureCPUs), worker: try cpus(.workerCPUs), egress: try cpus(.egressCPUs),
            control: try cpus(.controlCPUs),
            numaNode: try value(.numaNode, "auto, or the number of a NUMA node below 1024") { text -> Int?? in
                if text == "auto" { return .some(nil) }
                return Values.count(text).flatMap { $0 < 1024 ? .some(Int($0)) : nil }
            } ?? nil)
    }

    func interfaces() throws(OptionError) -> [RunOptions.Interface] {
        var interfaces: [RunOptions.Interface] = []
        for setting in all(.interface) {
            let parts = setting.text.split(separator: "@", maxSplits: 1, omittingEmptySubsequences: false)
            let name = String(parts.first ?? "")
            let isPlain = !name.isEmpty && name.allSatisfy { !$0.isWhitespace && $0 != "/" && $0 != "\0" }
            guard isPlain else { throw OptionError("\(setting.quotation): write the name of a network interface") }
            var interface = RunOptions.Interface(name)
            if parts.count > 1 {
                guard let queues = Values.cpus(String(parts[1])) else {
                    throw OptionError(
                        "\(setting.quotation): after @ stand receive queues, numbers below 1024 such as \(name)@0-3,5")
                }
                interface.queues = queues.map(UInt32.init)
            }
            guard !interfaces.contains(where: { $0.name == name }) else {
                throw OptionError("\(setting.quotation): there twice; give each interface once")
            }
            interfaces.append(interface)
        }
        return interfaces
    }

    func inputFiles() throws(OptionError) -> [String] {
        let files = all(.read)
        for file in files where !isPath(file.text) {
            throw OptionError("\(file.quotation): write the path of a capture file, or - for standard input")
        }
        if files.count(where: { $0.text == "-" }) > 1 {
            throw OptionError("-r -: there twice; standard input can be read once")
        }
        return files.map(\.text)
    }

    /// Addresses and ranges of them by their letters; what they mean is checked where they are used.
    func allowedAddresses() throws(OptionError) -> [String] {
        try all(.allow).map { setting throws(OptionError) in
            let letters = setting.text.allSatisfy { $0.isASCII && ($0.isHexDigit || ".:/".contains($0)) }
            guard letters, setting.text.contains(where: { ".:".contains($0) }) else {
                throw OptionError("\(setting.quotation): write an address, or ADDRESS/BITS such as 192.0.2.0/24")
            }
            return setting.text
        }
    }

    func destinations() throws(OptionError) -> [Destination] {
        var names: Set<String> = []
        return try all(.to).map { setting throws(OptionError) in
            let destination: Destination
            do throws(SpecificationError) {
                destination = try Destination(parsing: setting.text)
            } catch {
                throw OptionError("\(setting.quotation): \(error.reason)")
            }
            guard names.insert(destination.name).inserted else {
                throw OptionError(
                    "\(setting.quotation): there is already a destination named '\(destination.name)'; "
                        + "tell them apart with ,name=N")
            }
            return destination
        }
    }

    func listeners() throws(OptionError) -> [Listener] {
        var addresses: Set<Address> = []
        return try all(.listen).map { setting throws(OptionError) in
            let listener: Listener
            do throws(SpecificationError) {
                listener = try Listener(parsing: setting.text)
            } catch {
                throw OptionError("\(setting.quotation): \(error.reason)")
            }
            guard listener.address.port == 0 || addresses.insert(listener.address).inserted else {
                throw OptionError("\(setting.quotation): there is already a listener on it; choose another port")
            }
            return listener
        }
    }
}
