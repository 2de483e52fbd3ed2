// Sends a file from one part of this program to two others, through the loopback interface:
//
//   send-files-example FILE DIRECTORY
//
// The copies are DIRECTORY/one/copy and DIRECTORY/two/copy; DIRECTORY/one and DIRECTORY/two are there already, because a
// directory belongs to one receiver.

import Distribution
import Machine

let arguments = CommandLine.arguments
guard arguments.count == 3 else { fatalError("usage: send-files-example FILE DIRECTORY") }
let loopback = Endpoint(parsing: "127.0.0.1:0")!

// A receiver binds, and then reads one file into a path. Reading waits, so each has a thread.
let sender = try FileSender()
for name in ["one", "two"] {
    let folder = "\(arguments[2])/\(name)"
    let receiver = try FileReceiver(ReceiveOptions(listen: [loopback], directory: folder))
    sender.connect(to: receiver.endpoints[0])
    try PinnedThread(name: name, cpus: nil) {
        do {
            print(name, try receiver.read(into: "\(folder)/copy").root)
        } catch {
            print(name, error)
        }
    }.detach()
}

try sender.write(arguments[1])
for peer in sender.finish().peers {
    print(peer.address, peer.state, "\(peer.acknowledgedBytes) bytes", peer.error ?? "")
}
