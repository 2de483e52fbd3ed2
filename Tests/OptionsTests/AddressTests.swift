import Options
import Testing

@Suite("Addresses")
struct AddressTests {
    @Test(
        "Where to connect",
        arguments: [
            ("192.0.2.7:57012", "192.0.2.7", 57012), ("host.example:1", "host.example", 1),
            ("[2001:db8::7]:65535", "2001:db8::7", 65535), ("[fe80::1%eth0]:5", "fe80::1%eth0", 5),
            ("[::ffff:192.0.2.7]:5", "::ffff:192.0.2.7", 5), ("my_host-1:80", "my_host-1", 80),
            ("3com.example:080", "3com.example", 80),
        ] as [(String, String, UInt16)])
    func connecting(text: String, host: String, port: UInt16) {
        #expect(Address.connecting(text) == Address(host: host, port: port))
    }

    @Test(
        "What is nowhere to connect to",
        arguments: [
            "", ":", "host", "host:", ":80", "host:0", "host:65536", "host:-1", "host:+1", "host:http", "host:80 ",
            " host:80", "2001:db8::7:80x", "::1", "::1:80", "[::1]", "[::1]80", "[::1:80", "::1]:80", "[host]:80",
            "[]:80", "[:%]:1", "[::1%]:80", "a b:80", "a/b:80", "57012:80", "host:80:80", "[g::]:1", "hôst:80",
        ])
    func notConnecting(text: String) {
        #expect(Address.connecting(text) == nil)
    }

    @Test(
        "Where to listen, with loopback and a default port where something is left out",
        arguments: [
            ("0.0.0.0:80", "0.0.0.0", 80), ("127.0.0.1:0", "127.0.0.1", 0), ("[::]:80", "::", 80),
            (":80", "127.0.0.1", 80), ("192.0.2.7", "192.0.2.7", 57012), ("localhost", "localhost", 57012),
            ("[::1]", "::1", 57012),
        ] as [(String, String, UInt16)])
    func listening(text: String, host: String, port: UInt16) {
        #expect(Address.listening(text, defaultPort: 57012) == Address(host: host, port: port))
    }

    @Test("What is nowhere to listen", arguments: ["", ":", "57012", "::1", "[::1", "a:b", "a:65536", "*:80", "[]"])
    func notListening(text: String) {
        #expect(Address.listening(text, defaultPort: 57012) == nil)
    }

    @Test("Without a default port there must be one", arguments: ["127.0.0.1", "[::1]", "localhost"])
    func portNeeded(text: String) {
        #expect(Address.listening(text) == nil)
    }

    @Test("An address reads as it is written", arguments: ["192.0.2.7:57012", "[2001:db8::7]:1", "host.example:80"])
    func description(text: String) throws {
        #expect(try #require(Address.connecting(text)).description == text)
    }
}
