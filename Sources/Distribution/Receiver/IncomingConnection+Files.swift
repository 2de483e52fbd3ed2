internal import Fragments
internal import Machine

/// What a sender says of files, and what it is answered.
extension IncomingConnection {
    func take(_ message: Message) throws(ProtocolProblem) {
        switch message {
        case .file(let announcement): try announce(announcement)
        case .hashes(let number, let first, let hashes): try expect(number, first, hashes)
        case .root(let number, let root):
            guard let file = files[number] else { return isQuiet ? sayFate(number) : () }
            file.root = root
            if isQuiet { file.trustRoot() }
            finishFile(number, file)
            if isQuiet { sayFate(number) }
        case .withdrawn(let number, let words):
            guard let file = files.removeValue(forKey: number) else { return }
            file.discard()
            loop.log("\(peer): \(file.announcement.name): withdrawn by the sender: \(words)")
        case .end(let code, let words):
            if code == .done { loop.senderIsDone(self) } else { loop.log("\(peer): ended by the sender: \(words)") }
            endInOrder(.done, "")
        case .forward(let address): forward(to: address)
        default: throw .malformed("what only receivers say")
        }
    }

    private func announce(_ announcement: FileAnnouncement) throws(ProtocolProblem) {
        guard hello?.isRelay == false else { throw .malformed("a file announced by a relay") }
        let number = announcement.number
        if let file = files[number] {
            guard file.announcement.name == announcement.name else { throw .malformed("a number given twice") }
            if !isQuiet, file.nextDoubtful == nil { sayHave(number, file) }
            return
        }
        let pieces = files.values.reduce(Piece.count(ofSize: announcement.size)) { $0 + $1.count }
        guard files.count < ReceiveLimit.files, pieces <= ReceiveLimit.pieces else {
            throw .limit("too many files, or too large ones, at once")
        }
        do throws(Refusal) {
            if announcement.kind == .directory {
                let made = try loop.directory.directory(try OutputDirectory.parts(of: announcement.name))
                closeDescriptor(made)
                return isQuiet ? sayArrival(number) : buffer.say(.done(file: number, TreeHash()))
            }
            try loop.claim(announcement.name, for: self)
            let file = try IncomingFile(announcement, in: loop.directory, name: loop.singleName, looksBack: !isQuiet)
            files[number] = file
            for forwarder in forwarders { forwarder.add(number, file) }
            if isQuiet {
                if file.count == 0 { sayArrival(number) }
            } else if file.nextDoubtful == nil {
                sayHave(number, file)
            } else {
                loop.examine(file, number, self)
            }
        } catch {
            refuse(number, error, name: announcement.name)
            if isQuiet, announcement.size == 0 { sayArrival(number) }
        }
    }

    /// What was in doubt has been looked at.
    func examined(_ number: UInt32, _ file: IncomingFile) {
        do throws(Refusal) {
            if file.isExisting, file.arrived.lengthSum < file.count { try file.startOver() }
            sayHave(number, file)
            finishFile(number, file)
        } catch {
            refuse(number, error)
        }
    }

    /// Passes on to another receiver what comes in here.
    private func forward(to address: String) {
        guard loop.options.passesOn || loop.options.token != nil else {
            let why = "this receiver passes nothing on: it has neither a token nor --pass-on"
            return buffer.say(.forwardFailed(to: address, why))
        }
        guard let hello, !hello.isRelay, forwarders.count < ReceiveLimit.forwarders,
            let forwarder = Forwarder(address, session: hello.session, for: self)
        else {
            buffer.say(.forwardFailed(to: address, "cannot connect"))
            return
        }
        forwarders.append(forwarder)
    }

    /// Passing on has ended before everything was there.
    func forwardingFailed(_ forwarder: Forwarder, _ why: String) {
        forwarders.removeAll { $0 === forwarder }
        loop.log("\(forwarder.address): no longer passed on to: \(why)")
        buffer.say(.forwardFailed(to: forwarder.address, why))
        finishTurn()
    }

    /// Tells the sender, and relays that bring bytes of this file, what is here.
    func sayHave(_ number: UInt32, _ file: IncomingFile) {
        if let hello, !hello.isRelay {
            for relay in loop.relays[hello.session] ?? [] {
                relay.sayHave(number, file)
                relay.finishTurn()
            }
        } else {
            return buffer.say(.have(file: number, pieces: file.arrived, evidence: file.evidence))
        }
        file.toldBytes = 0
        loop.counts.resumedBytes += Piece.byteCount(of: file.arrived.map(\.range), ofSize: file.announcement.size)
        buffer.say(.have(file: number, pieces: file.arrived, evidence: file.evidence))
    }

    private func expect(_ number: UInt32, _ first: UInt64, _ hashes: [TreeHash]) throws(ProtocolProblem) {
        guard let file = files[number] else { return }
        guard first < file.count, UInt64(hashes.count) <= file.count - first else {
            throw .malformed("hashes of pieces that the file does not have")
        }
        do throws(Refusal) {
            let wrong = file.expect(hashes, from: first)
            if !wrong.isEmpty, file.isExisting {
                try file.startOver()
                sayHave(number, file)
            } else if !wrong.isEmpty {
                askAgain(number, file, wrong)
            }
            finishFile(number, file)
        } catch {
            refuse(number, error)
        }
    }

    /// Asks for pieces that are not what they should be.
    func askAgain(_ number: UInt32, _ file: IncomingFile, _ pieces: [UInt64]) {
        loop.counts.corruptPieces += UInt64(pieces.count)
        file.damagedPieces += UInt64(pieces.count)
        if isQuiet { return }
        var list = RangeList<UInt64>(limit: file.count)
        for piece in pieces { _ = try? list.insert(piece..<piece + 1) }
        buffer.say(.again(file: number, pieces: list))
    }

    /// Gives the file its name if nothing is missing.
    func finishFile(_ number: UInt32, _ file: IncomingFile) {
        guard file.isWhole, file.root != nil, files[number] === file, file.toldBytes != nil || isQuiet else { return }
        do throws(Refusal) {
            let root = try file.publish(isDurable: loop.options.isDurable)
            files[number] = nil
            if !isQuiet { buffer.say(.done(file: number, root)) }
            loop.finished(file, root, from: self)
            if loop.hasAll, !isQuiet { endInOrder(.done, "") }
        } catch {
            refuse(number, error)
        }
    }

    /// Tells the sender that a file will not be taken.
    func refuse(_ number: UInt32, _ refusal: Refusal, name: String? = nil) {
        let file = files.removeValue(forKey: number)
        // What is wrong as a whole is of no use; what lacks room or luck can go on another time.
        if refusal.code == .rootDiffers { file?.discard() }
        loop.failed(name ?? file?.announcement.name ?? "?", refusal, from: self)
        refusals[number] = refusal.code
        if !isQuiet { buffer.say(.refused(file: number, refusal)) }
    }

    /// Tells how much is verified, where that has changed.
    func tellProgress() {
        if isQuiet { return }
        for (number, file) in files {
            guard let told = file.toldBytes, told != file.verifiedBytes else { continue }
            file.toldBytes = file.verifiedBytes
            buffer.say(.progress(file: number, bytes: file.verifiedBytes))
        }
    }

    // ---- receipts

    /// The bytes of a file have arrived, as a receipt.
    func sayArrival(_ number: UInt32) {
        guard let file = files[number] else { return sayFate(number) }
        buffer.say(Receipt(file: number, status: .arrived, root: file.presentRoot).encoded())
    }

    /// What became of a file of which the root is known, as a receipt.
    func sayFate(_ number: UInt32) {
        if let file = files[number] {
            let damaged = file.damagedPieces
            file.damagedPieces = 0
            buffer.say(
                Receipt(file: number, status: .arrived, root: file.presentRoot, damagedPieces: damaged).encoded())
        } else if let code = refusals[number] {
            buffer.say(Receipt(file: number, status: .refused, root: TreeHash(), reason: code).encoded())
        } else {
            buffer.say(Receipt(file: number, status: .published, root: TreeHash()).encoded())
        }
    }
}
