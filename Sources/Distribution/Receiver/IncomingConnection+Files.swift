internal import Fragments
internal import Machine

/// What a sender says of files, and what it is answered.
extension IncomingConnection {
    func take(_ message: Message) throws(ProtocolProblem) {
        switch message {
        case .file(let announcement): try announce(announcement)
        case .hashes(let number, let first, let hashes): try expect(number, first, hashes)
        case .root(let number, let root):
            guard let file = files[number] else { return }
            file.root = root
            finishFile(number, file)
        case .withdrawn(let number, let words):
            guard let file = files.removeValue(forKey: number) else { return }
            file.discard()
            loop.log("\(peer): \(file.announcement.name): withdrawn by the sender: \(words)")
        case .end(let code, let words):
            if code == .done { loop.senderIsDone(self) } else { loop.log("\(peer): ended by the sender: \(words)") }
            endInOrder(.done, "")
        default: throw .malformed("what only receivers say")
        }
    }

    private func announce(_ announcement: FileAnnouncement) throws(ProtocolProblem) {
        guard hello?.isRelay == false else { throw .malformed("a file announced by a relay") }
        let number = announcement.number
        if let file = files[number] {
            guard file.announcement.name == announcement.name else { throw .malformed("a number given twice") }
            if file.nextDoubtful == nil { sayHave(number, file) }
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
                buffer.say(.done(file: number, TreeHash()))
                return
            }
            try loop.claim(announcement.name, for: self)
            let file = try IncomingFile(announcement, in: loop.directory, name: loop.singleName)
            files[number] = file
            if file.nextDoubtful == nil { sayHave(number, file) } else { loop.examine(file, number, self) }
        } catch {
            refuse(number, error, name: announcement.name)
        }
    }

    /// Tells the sender what is here.
    func sayHave(_ number: UInt32, _ file: IncomingFile) {
        file.toldBytes = file.verifiedBytes
        loop.counts.resumedBytes += Piece.byteCount(of: file.arrived.map(\.range), ofSize: file.announcement.size)
        buffer.say(.have(file: number, pieces: file.arrived, evidence: file.evidence))
    }

    private func expect(_ number: UInt32, _ first: UInt64, _ hashes: [TreeHash]) throws(ProtocolProblem) {
        guard let file = files[number] else { return }
        guard first < file.count, UInt64(hashes.count) <= file.count - first else {
            throw .malformed("hashes of pieces that the file does not have")
        }
        do throws(Refusal) {
            let wrong = try file.expect(hashes, from: first)
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
        var list = RangeList<UInt64>(limit: file.count)
        for piece in pieces { _ = try? list.insert(piece..<piece + 1) }
        buffer.say(.again(file: number, pieces: list))
    }

    /// Gives the file its name if nothing is missing.
    func finishFile(_ number: UInt32, _ file: IncomingFile) {
        guard file.isWhole, file.root != nil, files[number] === file else { return }
        do throws(Refusal) {
            let root = try file.publish(isDurable: loop.options.isDurable)
            files[number] = nil
            buffer.say(.done(file: number, root))
            loop.finished(file, root, from: self)
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
        buffer.say(.refused(file: number, refusal))
    }

    /// Tells how much is verified, where that has changed.
    func tellProgress() {
        for (number, file) in files where file.verifiedBytes != file.toldBytes {
            file.toldBytes = file.verifiedBytes
            buffer.say(.progress(file: number, bytes: file.toldBytes))
        }
    }
}
