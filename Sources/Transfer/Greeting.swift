internal import Pcapng

/// HELLO: how a collector greets.
public struct Hello: Sendable, Equatable {
    /// Versions it speaks.
    public var leastVersion: UInt16 = TransferLimit.version, greatestVersion: UInt16 = TransferLimit.version
    /// It has a token and wants proofs.
    public var asksForProof: Bool
    /// It acknowledges after a sync.
    public var isDurable: Bool
    /// 32 fresh random bytes.
    public var challenge: [UInt8]

    /// A greeting in the versions spoken here.
    public init(asksForProof: Bool, isDurable: Bool, challenge: [UInt8]) {
        precondition(challenge.count == 32, "a challenge of 32 bytes")
        (self.asksForProof, self.isDurable, self.challenge) = (asksForProof, isDurable, challenge)
    }

    /// The greatest version that both sides speak, if there is one.
    public var commonVersion: UInt16? {
        (leastVersion...greatestVersion).contains(TransferLimit.version) ? TransferLimit.version : nil
    }

    /// The block.
    public func encoded() -> [UInt8] {
        controlBlock(ControlType.hello) { body in
            body.append(leastVersion)
            body.append(greatestVersion)
            body.append(UInt32(asksForProof ? 1 : 0) | UInt32(isDurable ? 2 : 0))
            body.append(bytes: challenge)
        }
    }

    /// Reads a whole block.
    public init(_ block: UnsafeRawBufferPointer) throws(ControlError) {
        let reader = try unsafe FieldReader(block, type: ControlType.hello, least: 56)
        leastVersion = reader.number(at: 8)
        greatestVersion = reader.number(at: 10)
        guard leastVersion >= 1, greatestVersion >= leastVersion else { throw .badVersions }
        let flags: UInt32 = reader.number(at: 12)
        (asksForProof, isDurable) = (flags & 1 != 0, flags & 2 != 0)
        challenge = reader.bytes(at: 16, count: 32)
    }
}

/// SESSION: how a relay answers.
public struct Session: Sendable, Equatable {
    /// The version both will speak.
    public var version: UInt16 = TransferLimit.version
    /// 32 fresh random bytes.
    public var challenge: [UInt8]
    /// SHA-256 of the runs.
    public var runsDigest: [UInt8]
    /// The relay's proof, or 32 zeros.
    public var proof: [UInt8]
    /// The sensor's name, and how the relay calls the collector.
    public var sensor: String, destination: String

    /// An answer in the version spoken here.
    public init(
        challenge: [UInt8], runsDigest: [UInt8], proof: [UInt8] = [UInt8](repeating: 0, count: 32), sensor: String,
        destination: String
    ) {
        precondition(challenge.count == 32 && runsDigest.count == 32 && proof.count == 32, "32 bytes each")
        (self.challenge, self.runsDigest, self.proof) = (challenge, runsDigest, proof)
        (self.sensor, self.destination) = (sensor, destination)
    }

    /// The block.
    public func encoded() -> [UInt8] {
        controlBlock(ControlType.session) { body in
            body.append(version)
            body.append(UInt16(0))
            body.append(UInt16(sensor.utf8.count))
            body.append(UInt16(destination.utf8.count))
            body.append(bytes: challenge)
            body.append(bytes: runsDigest)
            body.append(bytes: proof)
            body.append(bytes: sensor.utf8)
            body.append(bytes: destination.utf8)
        }
    }

    /// Reads a whole block.
    public init(_ block: UnsafeRawBufferPointer) throws(ControlError) {
        let reader = try unsafe FieldReader(block, type: ControlType.session, least: 120)
        version = reader.number(at: 8)
        let sensorLength = Int(reader.number(at: 12) as UInt16)
        let destinationLength = Int(reader.number(at: 14) as UInt16)
        guard block.count == 120 + (sensorLength + destinationLength + 3) & ~3 else { throw .badLength }
        challenge = reader.bytes(at: 16, count: 32)
        runsDigest = reader.bytes(at: 48, count: 32)
        proof = reader.bytes(at: 80, count: 32)
        let sensor = reader.bytes(at: 112, count: sensorLength)
        let destination = reader.bytes(at: 112 + sensorLength, count: destinationLength)
        guard Self.isName(sensor), Self.isName(destination) else { throw .badName }
        self.sensor = String(decoding: sensor, as: UTF8.self)
        self.destination = String(decoding: destination, as: UTF8.self)
    }

    /// Whether bytes may be a name: 1 to 64 of `A-Z a-z 0-9 . _ -`, not beginning with a dot.
    public static func isName(_ bytes: some Collection<UInt8>) -> Bool {
        guard (1...64).contains(bytes.count), bytes.first != UInt8(ascii: ".") else { return false }
        return bytes.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"):
                true
            default: false
            }
        }
    }

    /// A name made of any text: what may not stand in a name becomes a hyphen.
    public static func name(from text: String) -> String {
        let bytes = text.utf8.prefix(64).map { isName([UInt8(ascii: "a"), $0]) ? $0 : UInt8(ascii: "-") }
        let name = String(decoding: bytes, as: UTF8.self)
        return name.hasPrefix(".") ? "-" + name.dropFirst() : name.isEmpty ? "-" : name
    }
}

/// PROOF: the collector's proof.
public struct Proof: Sendable, Equatable {
    /// 32 bytes.
    public var bytes: [UInt8]

    /// A block with this proof.
    public init(bytes: [UInt8]) {
        precondition(bytes.count == 32, "a proof of 32 bytes")
        self.bytes = bytes
    }

    /// The block.
    public func encoded() -> [UInt8] {
        controlBlock(ControlType.proof) { body in
            body.append(UInt64(0))
            body.append(bytes: bytes)
        }
    }

    /// Reads a whole block.
    public init(_ block: UnsafeRawBufferPointer) throws(ControlError) {
        let reader = try unsafe FieldReader(block, type: ControlType.proof, least: 56)
        guard block.count == 56 else { throw .badLength }
        bytes = reader.bytes(at: 16, count: 32)
    }
}
