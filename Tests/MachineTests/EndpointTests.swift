import Glibc
import Machine
import Testing

@Suite("Endpoints")
struct EndpointTests {
    @Test(
        "Text and back, as RFC 5952 wants it written",
        arguments: [
            ("192.0.2.7:57012", "192.0.2.7:57012"), ("0.0.0.0:0", "0.0.0.0:0"),
            ("[2001:DB8:0:0:0:0:0:7]:65535", "[2001:db8::7]:65535"), ("[::]:1", "[::]:1"),
            ("[::1]:80", "[::1]:80"), ("[::ffff:192.0.2.7]:5", "192.0.2.7:5"),
            ("[fe80::1%lo]:9", "[fe80::1%lo]:9"), ("[fe80::1%999999]:9", "[fe80::1%999999]:9"),
        ])
    func text(_ given: String, _ canonical: String) throws {
        let endpoint = try #require(Endpoint(parsing: given))
        #expect(endpoint.description == canonical)
        #expect(Endpoint(parsing: canonical) == endpoint)
    }

    @Test(
        "What is no numeric endpoint is none",
        arguments: [
            "", ":", "192.0.2.7", "192.0.2.7:", "192.0.2.7:65536", "192.0.2.7:-1", "192.0.2.7:+1", "192.0.2:1",
            "192.0.2.256:1", "host:1", "2001:db8::7:1", "[2001:db8::7]", "[2001:db8::7]:", "[192.0.2.7]:1",
            "[fe80::1%]:1", "[fe80::1%nowhere]:1", "192.0.2.7:1 ", " 192.0.2.7:1", "[::1:1", "::1]:1",
        ])
    func nonsense(_ text: String) {
        #expect(Endpoint(parsing: text) == nil)
    }

    @Test("Families and special addresses")
    func kinds() throws {
        func endpoint(_ text: String) throws -> Endpoint { try #require(Endpoint(parsing: text)) }
        #expect(try endpoint("0.0.0.0:1").isAny && endpoint("[::]:1").isAny)
        #expect(try !endpoint("[::1]:1").isAny && !endpoint("0.0.0.1:1").isAny)
        #expect(try endpoint("127.9.9.9:1").isLoopback && endpoint("[::1]:1").isLoopback)
        #expect(try !endpoint("126.255.255.255:1").isLoopback && !endpoint("[::2]:1").isLoopback)
        #expect(try endpoint("192.0.2.7:1").isIPv4 && endpoint("0.0.0.0:1").isIPv4 && !endpoint("[::]:1").isIPv4)
        #expect(try endpoint("192.0.2.7:1").family == AF_INET && endpoint("[2001:db8::7]:1").family == AF_INET6)
        // A scope means something for a link-local address only.
        let words = try endpoint("[2001:db8::7]:1")
        let scoped = Endpoint(
            addressHigh: words.addressHigh, addressLow: words.addressLow, port: 1, scope: 3)
        #expect(scoped == words && scoped.with(port: 2).port == 2)
    }

    @Test("The octets of an address stand in network order in memory")
    func octets() throws {
        let six = try #require(Endpoint(parsing: "[102:304:506:708:90a:b0c:d0e:f10]:1"))
        let four = try #require(Endpoint(parsing: "1.2.3.4:1"))
        func octets(_ endpoint: Endpoint) -> [UInt8] {
            let words = (endpoint.addressHigh, endpoint.addressLow)
            return unsafe withUnsafeBytes(of: words) { unsafe Array($0) }
        }
        #expect(octets(six) == Array(1...16))
        #expect(octets(four) == [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 1, 2, 3, 4])
    }

    @Test("What the kernel says of both ends of a connection", arguments: ["127.0.0.1:0", "[::1]:0"])
    func sockets(_ text: String) throws {
        let any = try #require(Endpoint(parsing: text))
        let listener = socket(any.family, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(listener) }
        try #require(unsafe any.withSocketAddress { unsafe bind(listener, $0, $1) } == 0)
        try #require(listen(listener, 1) == 0)
        let server = try Endpoint.local(of: listener)
        #expect(server.with(port: 0) == any && server.port != 0)
        let client = socket(any.family, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(client) }
        try #require(unsafe server.withSocketAddress { unsafe connect(client, $0, $1) } == 0)
        let accepted = accept(listener, nil, nil)
        defer { close(accepted) }
        #expect(try Endpoint.peer(of: client) == server && Endpoint.local(of: accepted) == server)
        #expect(try Endpoint.peer(of: accepted) == Endpoint.local(of: client))
        let error = #expect(throws: SystemError.self) { _ = try Endpoint.peer(of: listener) }
        #expect(error?.code == ENOTCONN)
        #expect(throws: SystemError.self) { _ = try Endpoint.local(of: -1) }
    }

    @Test("A listener of both families names an IPv4 peer like a listener of IPv4")
    func mappedPeer() throws {
        let listener = socket(AF_INET6, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(listener) }
        var off: Int32 = 0
        unsafe setsockopt(listener, Int32(IPPROTO_IPV6), IPV6_V6ONLY, &off, 4)
        let any = try #require(Endpoint(parsing: "[::]:0"))
        try #require(unsafe any.withSocketAddress { unsafe bind(listener, $0, $1) } == 0)
        try #require(listen(listener, 1) == 0)
        let server = try #require(Endpoint(parsing: "127.0.0.1:\(try Endpoint.local(of: listener).port)"))
        let client = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(client) }
        try #require(unsafe server.withSocketAddress { unsafe connect(client, $0, $1) } == 0)
        let accepted = accept(listener, nil, nil)
        defer { close(accepted) }
        #expect(try Endpoint.local(of: accepted) == server)
        #expect(try Endpoint.peer(of: accepted) == Endpoint.local(of: client))
    }

    @Test("Names become all their addresses; what has none says so")
    func resolving() throws {
        let numeric = try #require(Endpoint(parsing: "[2001:db8::7]:5"))
        #expect(try Endpoint.resolve(host: "2001:db8::7", port: 5) == [numeric])
        let local = try Endpoint.resolve(host: "localhost", port: 7)
        #expect(!local.isEmpty && local.allSatisfy { $0.isLoopback && $0.port == 7 })
        #expect(Set(local).count == local.count)
        // An empty label: no name server needs to be asked.
        let error = #expect(throws: ResolutionError.self) { _ = try Endpoint.resolve(host: "no..name", port: 1) }
        #expect(error?.description.hasPrefix("no..name: ") == true && error?.reason.isEmpty == false)
    }
}
