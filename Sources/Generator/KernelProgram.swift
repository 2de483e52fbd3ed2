internal import CBPF
internal import Glibc
internal import Machine

/// The generator's object in the kernel: programs, and the variable they share with us. All of it goes away with the value,
/// or with the process.
@safe struct KernelProgram: ~Copyable {
    // Safe because the pointers are valid as long as the value lives, which owns object and mapping.
    private let object: OpaquePointer
    private let shared: UnsafeMutablePointer<spillway_generator>
    private let attachments: [OpaquePointer]
    private let generate: Int32
    private let helper: Int32
    private let name: String
    private let parking: Parking

    /// Bytes of the mapping: the map holds the variable alone, in one page.
    private static var mappingLength: Int { 4096 }

    /// Loads the object.
    ///
    /// - Parameters:
    ///   - name: of the interface, for messages.
    ///   - flows: how many sequence numbers are kept.
    init(name: String, flows: UInt32) throws(GeneratorError) {
        spillway_bpf_be_quiet()
        let bytes = Self.bytes(of: generatorObject)
        let opened = unsafe bytes.withUnsafeBytes { unsafe spillway_bpf_open($0.baseAddress, $0.count) }
        guard let opened = unsafe opened else { throw GeneratorError(SystemError("bpf_object__open", name)) }
        let parts: (UnsafeMutablePointer<spillway_generator>, [OpaquePointer])
        do throws(SystemError) {
            unsafe parts = try Self.load(opened, flows, name)
        } catch {
            unsafe bpf_object__close(opened)
            throw GeneratorError(error)
        }
        unsafe (object, shared, attachments) = (opened, parts.0, parts.1)
        generate = unsafe bpf_program__fd(bpf_object__find_program_by_name(opened, "generate"))
        helper = unsafe bpf_program__fd(bpf_object__find_program_by_name(opened, "helper"))
        self.name = name
        parking = Parking(program: generate)
    }

    deinit {
        unsafe Self.detach(attachments)
        unsafe munmap(shared, Self.mappingLength)
        unsafe bpf_object__close(object)
    }

    /// The settings, state and counts, as the kernel has them now: nothing runs there between two calls of `make`.
    var state: spillway_generator {
        get { unsafe shared.pointee }
        nonmutating set { unsafe shared.pointee = newValue }
    }

    /// Makes frames, all of them before it returns.
    ///
    /// - Parameters:
    ///   - frames: how many.
    ///   - batch: after how many the driver is told to send.
    ///   - template: what each page holds before the program has seen it.
    func make(frames: UInt32, batch: UInt32, template: [UInt8]) throws(GeneratorError) {
        let status = unsafe template.withUnsafeBytes {
            unsafe spillway_bpf_live_frames(generate, $0.baseAddress, UInt32($0.count), frames, batch)
        }
        // A signal that is not ours to handle, a stop and continue for example, ends a call early.
        guard status != 0, status != EINTR else { return }
        throw GeneratorError(SystemError("BPF_PROG_TEST_RUN", name, code: status))
    }

    /// Puts the helper program on an interface until the descriptor is closed; nil, if the driver does not take it or
    /// there is a program already.
    func attachHelper(to interface: UInt32) -> Int32? {
        let link = spillway_bpf_attach_native(helper, Int32(interface))
        return link >= 0 ? link : nil
    }

    private static func load(
        _ object: OpaquePointer, _ flows: UInt32, _ name: String
    ) throws(SystemError) -> (UnsafeMutablePointer<spillway_generator>, [OpaquePointer]) {
        let sequences = unsafe bpf_object__find_map_by_name(object, "sequences")
        try check(unsafe bpf_map__set_max_entries(sequences, flows), "bpf_map__set_max_entries", name)
        try check(unsafe bpf_object__load(object), "bpf_object__load", name)
        let attachments = try unsafe attach(["count_sent", "count_refused"], of: object, name)
        do throws(SystemError) {
            return try unsafe (map(object, name), attachments)
        } catch {
            unsafe detach(attachments)
            throw error
        }
    }

    private static func check(_ status: Int32, _ call: String, _ subject: String) throws(SystemError) {
        if status != 0 { throw SystemError(call, subject, code: -status) }
    }

    private static func map(
        _ object: OpaquePointer, _ name: String
    ) throws(SystemError) -> UnsafeMutablePointer<spillway_generator> {
        let file = unsafe bpf_map__fd(bpf_object__find_map_by_name(object, ".bss"))
        let address = unsafe mmap(nil, mappingLength, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0)
        guard let address = unsafe address, unsafe address != MAP_FAILED else { throw SystemError("mmap", name) }
        return unsafe address.assumingMemoryBound(to: spillway_generator.self)
    }

    private static func attach(
        _ programs: [String], of object: OpaquePointer, _ name: String
    ) throws(SystemError) -> [OpaquePointer] {
        var attached = unsafe [OpaquePointer]()
        for program in programs {
            let found = unsafe bpf_object__find_program_by_name(object, program)
            guard let link = unsafe bpf_program__attach(found) else {
                let error = SystemError("bpf_program__attach", name)
                unsafe detach(attached)
                throw error
            }
            unsafe attached.append(link)
        }
        return unsafe attached
    }

    private static func detach(_ links: [OpaquePointer]) {
        unsafe links.forEach { unsafe bpf_link__destroy($0) }
    }

    /// The bytes of a text of hexadecimal digits.
    private static func bytes(of text: StaticString) -> [UInt8] {
        func digit(_ character: UInt8) -> UInt8 { character < 0x3a ? character - 0x30 : character - 0x57 }
        let digits = unsafe UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount)
        return stride(from: 0, to: digits.count, by: 2).map {
            unsafe digit(digits[$0]) << 4 | digit(digits[$0 + 1])
        }
    }
}
