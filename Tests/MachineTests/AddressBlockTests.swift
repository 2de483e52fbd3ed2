import Machine
import Testing

@Suite("Blocks of addresses")
struct AddressBlockTests {
    @Test(
        "An address is in a block if it has its first bits",
        arguments: [
            ("192.0.2.0/24", ["192.0.2.0", "192.0.2.255", "::ffff:192.0.2.9"], ["192.0.3.0", "192.0.1.255", "::"]),
            ("192.0.2.7", ["192.0.2.7"], ["192.0.2.6"]), ("0.0.0.0/0", ["1.2.3.4"], ["::1", "2001:db8::1"]),
            ("::/0", ["::1", "2001:db8::"], ["1.2.3.4"]),
            ("2001:db8:8000::/33", ["2001:db8:8000::", "2001:db8:ffff::1"], ["2001:db8:7fff::"]),
            ("2001:db8::8000:0:0:0/65", ["2001:db8::ffff:0:0:1"], ["2001:db8::1"]),
            ("fe80::1/128", ["fe80::1"], ["fe80::2"]),
        ])
    func contains(text: String, inside: [String], outside: [String]) throws {
        let block = try #require(AddressBlock(parsing: text))
        for address in inside {
            #expect(block.contains(try #require(Endpoint(address: address, port: 5))), "\(address)")
        }
        for address in outside {
            #expect(!block.contains(try #require(Endpoint(address: address, port: 5))), "\(address)")
        }
    }

    @Test(
        "What is no block is refused",
        arguments: [
            "", "/", "192.0.2.0/33", "192.0.2.1/24", "::1/64", "::/129", "x/8", "192.0.2.0/+8", "192.0.2.0/", "1.2.3/8",
            "fe80::%lo/64",
        ])
    func refused(text: String) {
        #expect(AddressBlock(parsing: text) == nil)
    }
}
