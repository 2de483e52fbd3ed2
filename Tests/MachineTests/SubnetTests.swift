import Machine
import Testing

@Suite("Ranges of addresses")
struct SubnetTests {
    @Test(
        "What is inside and what is next to it",
        arguments: [
            ("192.0.2.0/24", ["192.0.2.0", "192.0.2.255"], ["192.0.3.0", "192.0.1.255", "[::1]"]),
            ("10.0.0.0/8", ["10.255.255.255"], ["11.0.0.0", "9.255.255.255"]),
            ("0.0.0.0/0", ["1.2.3.4", "255.255.255.255"], ["[2001:db8::1]"]),
            ("127.0.0.1", ["127.0.0.1"], ["127.0.0.2"]),
            ("192.0.2.4/31", ["192.0.2.4", "192.0.2.5"], ["192.0.2.6", "192.0.2.3"]),
            ("2001:db8::/32", ["[2001:db8:ffff::1]"], ["[2001:db9::]", "32.1.13.184"]),
            ("2001:db8:0:1::/64", ["[2001:db8:0:1::9]"], ["[2001:db8:0:2::]"]),
            ("::1", ["[::1]"], ["[::2]", "127.0.0.1"]), ("::/0", ["[::5]", "1.2.3.4"], []),
        ] as [(String, [String], [String])])
    func contains(text: String, inside: [String], outside: [String]) throws {
        let subnet = try #require(Subnet(parsing: text))
        for address in inside { #expect(subnet.contains(try #require(Endpoint(parsing: "\(address):9")))) }
        for address in outside { #expect(!subnet.contains(try #require(Endpoint(parsing: "\(address):9")))) }
        #expect(subnet.description == text)
    }

    @Test(
        "What is no range",
        arguments: [
            "", "/8", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/", "10.0.0.0/08", "10.0.0.1/8", "::1/64", "::/129",
            "host/8", "10.0.0.0/8/8", "10.0.0/8", "10.0.0.0:80", "fe80::1%lo/128",
        ])
    func wrong(text: String) { #expect(Subnet(parsing: text) == nil) }
}
