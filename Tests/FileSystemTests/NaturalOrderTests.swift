import Testing

@testable import FileSystem

@Suite("Order of names")
struct NaturalOrderTests {
    @Test("Names follow each other as people and ring writers count: numbers by their value")
    func order() {
        let names = [
            "a.pcap", "dump", "dump1", "dump2", "dump9", "dump10", "dump100", "eth0.pcap.999", "eth0.pcap.1000",
            "t_00001_20261121.pcapng", "t_00002_20261121.pcapng", "z", "z0", "z00", "z1",
        ]
        #expect(names.shuffled().sorted(by: NaturalOrder.precedes) == names)
        for (index, one) in names.enumerated() {
            for (other, second) in names.enumerated() {
                #expect(NaturalOrder.precedes(one, second) == (index < other), "\(one) \(second)")
            }
        }
    }

    @Test("A cache file that is being written stands where it will stand")
    func open() {
        #expect(NaturalOrder.precedes("1-a-9.pcapng", "1-a-10.pcapng.open"))
        #expect(NaturalOrder.precedes("1-a-10.pcapng.open", "1-a-11.pcapng"))
    }
}
