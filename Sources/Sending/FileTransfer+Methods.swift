internal import CSending
internal import Glibc

/// One system call, or two, that move bytes.
extension FileTransfer {
    /// Moves up to `most` bytes at `position`; how many, 0 at the end of the file, or -errno.
    @_noLocks mutating func move(to socket: Int32, most: UInt64, tools: borrowing SendingTools) -> Int {
        switch tools.method {
        case .sendfile: return spillway_sendfile(socket, descriptor, position, Int(most))
        case .mmap: return spillway_send_mapped(socket, descriptor, position, Int(most))
        case .copy: return unsafe copy(to: socket, most: most, buffer: tools.buffer)
        case .splice: return splice(to: socket, most: most)
        }
    }

    @_noLocks private func copy(to socket: Int32, most: UInt64, buffer: UnsafeMutableRawPointer) -> Int {
        let count = unsafe spillway_read_at(descriptor, buffer, min(Int(most), SendingTools.bufferByteCount), position)
        if count <= 0 { return count }
        // What the socket does not take is read again next time; there is no buffer per transfer to keep it in.
        return unsafe spillway_send(socket, buffer, count, 0)
    }

    /// Bytes of the pipe: 64 KiB is what a pipe has at first, and pages in pipes are limited per user (pipe(7)).
    private static var pipeByteCount: Int32 { @_noLocks get { 256 << 10 } }

    @_noLocks private mutating func splice(to socket: Int32, most: UInt64) -> Int {
        if pipeIn < 0 {
            let status = unsafe spillway_pipe(&pipeOut, &pipeIn, Self.pipeByteCount)
            if status < 0 { return Int(status) }
        }
        if piped == 0 {
            let count = spillway_splice_in(descriptor, position, pipeIn, Int(most))
            if count <= 0 { return count }
            piped = UInt64(count)
        }
        let count = spillway_splice_out(
            pipeOut, socket, Int(min(piped, most)), position &+ piped < end ? 1 : 0)
        if count > 0 { piped = piped &- UInt64(count) }
        return count
    }

    @_noLocks mutating func closePipe() {
        guard pipeIn >= 0 else { return }
        spillway_close_pipe(pipeIn, pipeOut)
        pipeIn = -1
        pipeOut = -1
        piped = 0
    }
}
