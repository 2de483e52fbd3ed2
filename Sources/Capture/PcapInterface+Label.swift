internal import CPcap
import Glibc
public import Pcapng

extension PcapInterface {
    /// What the interface's description block says: name, alias, driver and system.
    ///
    /// - Parameter filter: the expression its packets were filtered with, by the kernel or later.
    public func label(filter: String? = nil) -> InterfaceLabel {
        Self.label(name, linkType, filter: filter, socket: descriptor)
    }

    /// The same for an interface that is not open here; any socket will do.
    static func label(_ name: String, _ linkType: LinkType, filter: String?, socket: Int32) -> InterfaceLabel {
        var label = InterfaceLabel(linkType: linkType.value, name: name)
        label.filter = filter
        label.system = systemText()
        if name == "any" {
            label.summary = "all interfaces"
            return label
        }
        label.summary = alias(name)
        var text = [CChar](repeating: 0, count: 160)
        unsafe spillway_interface_driver(socket, name, &text, text.count)
        let driver = PcapHandle.text(text)
        label.hardware = driver.isEmpty ? nil : driver
        return label
    }

    /// What somebody wrote down about the interface (`ip link set dev ... alias ...`), nil for nothing.
    private static func alias(_ name: String) -> String? {
        let file = unsafe open("/sys/class/net/\(name)/ifalias", O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return nil }
        defer { close(file) }
        var bytes = [UInt8](repeating: 0, count: 256)
        let count = unsafe read(file, &bytes, bytes.count)
        let text = String(decoding: bytes.prefix(max(count, 0)).prefix { $0 != 10 }, as: UTF8.self)
        return text.isEmpty ? nil : text
    }

    /// The operating system, for example `Linux 6.18.0`.
    private static func systemText() -> String? {
        var names = utsname()
        guard unsafe uname(&names) == 0 else { return nil }
        func text<Field>(_ field: Field) -> String {
            unsafe withUnsafeBytes(of: field) {
                unsafe String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
        }
        return "\(text(names.sysname)) \(text(names.release))"
    }
}
