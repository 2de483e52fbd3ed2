import FileService
import Glibc
import Machine
import TestSupport
import Testing

@Suite("Files that grow", .serialized)
struct FollowTests {
    private func append(_ bytes: [UInt8], to path: String) throws {
        let file = unsafe open(path, O_WRONLY | O_APPEND)
        defer { close(file) }
        try #require(unsafe write(file, bytes, bytes.count) == bytes.count)
    }

    /// Receives chunks until so many bytes have come.
    private func receive(_ count: Int, _ client: RawClient) throws -> [UInt8] {
        var got: [UInt8] = []
        while got.count < count { got += try #require(try client.chunk()) }
        return got
    }

    private func follow(_ rig: Rig, _ target: String) throws -> RawClient {
        let client = try RawClient(rig.endpoint)
        client.send("GET \(target) HTTP/1.1\r\nHost: x\r\n\r\n")
        return client
    }

    /// Reads the head only; the chunks come one by one.
    private func head(_ client: RawClient, _ rig: Rig) throws {
        try rig.wait("the follower") { try rig.figure("follows") > 0 }
        while client.takeHead() == nil { try #require(client.receive()) }
    }

    @Test(
        "What is added comes as it is added; the end is the renaming or the removal", arguments: ["rename", "unlink"])
    func growth(end: String) throws {
        let start = sampleBytes(70_000, seed: 7)
        try withServer(files: ["x.open": start]) { rig in
            let client = try follow(rig, "/x.open?follow=1")
            try head(client, rig)
            #expect(try receive(70_000, client) == start)
            for seed in 8..<12 {
                let more = sampleBytes(30_000, seed: seed)
                try append(more, to: "\(rig.folder)/x.open")
                #expect(try receive(30_000, client) == more)
            }
            if end == "rename" {
                #expect(unsafe rename("\(rig.folder)/x.open", "\(rig.folder)/x.pcapng") == 0)
            } else {
                #expect(unsafe unlink("\(rig.folder)/x.open") == 0)
            }
            #expect(try client.chunk() == nil)
            // The connection goes on.
            try writeFile("\(rig.folder)/y", [9])
            client.send("GET /y HTTP/1.1\r\nHost: x\r\n\r\n")
            #expect(try client.response().body == [9])
        }
    }

    @Test("follow=close also ends when the writer closes the file")
    func closing() throws {
        try withServer(files: ["x": []]) { rig in
            let writer = unsafe open("\(rig.folder)/x", O_WRONLY | O_APPEND)
            let client = try follow(rig, "/x?follow=close")
            try head(client, rig)
            let bytes: [UInt8] = [1, 2, 3]
            #expect(unsafe write(writer, bytes, 3) == 3)
            #expect(try receive(3, client) == [1, 2, 3])
            close(writer)
            #expect(try client.chunk() == nil)
        }
    }

    @Test("A file that becomes shorter breaks the stream")
    func shrinking() throws {
        try withServer(files: ["x": sampleBytes(1000, seed: 1)]) { rig in
            let client = try follow(rig, "/x?follow=1")
            try head(client, rig)
            _ = try receive(1000, client)
            #expect(unsafe truncate("\(rig.folder)/x", 10) == 0)
            #expect(client.rest().isEmpty)
            #expect(try rig.figure("shrunk") == 1)
        }
    }

    @Test("Several follow one file, one goes, and the end of the server is an end like any")
    func several() throws {
        try withServer(files: ["x": [1]]) { rig in
            let clients = try (0..<4).map { _ in try follow(rig, "/x?follow=1") }
            for client in clients {
                try head(client, rig)
                #expect(try receive(1, client) == [1])
            }
            do { _ = try follow(rig, "/x?follow=1") }
            try append([2, 3], to: "\(rig.folder)/x")
            for client in clients { #expect(try receive(2, client) == [2, 3]) }
            rig.server.drain()
            for client in clients { #expect(try client.chunk() == nil) }
            try rig.wait("the end") { rig.server.hasEnded }
        }
    }

    @Test("An old client gets the stream without chunks")
    func oldClient() throws {
        try withServer(files: ["x": [1, 2]]) { rig in
            let client = try RawClient(rig.endpoint)
            client.send("GET /x?follow=1 HTTP/1.0\r\n\r\n")
            try head(client, rig)
            try append([3], to: "\(rig.folder)/x")
            try rig.wait("the addition") { try rig.figure("file_bytes") == 3 }
            #expect(unsafe unlink("\(rig.folder)/x") == 0)
            #expect(client.rest() == [1, 2, 3])
        }
    }
}
