internal import Glibc

/// How many descriptors the process may have.
public enum DescriptorLimit {
    /// Raises the soft limit to the hard one: connections and files take descriptors, and the soft limit is often lower than
    /// what is allowed.
    public static func raise() {
        let resource = __rlimit_resource_t(UInt32(RLIMIT_NOFILE.rawValue))
        var limit = rlimit()
        guard unsafe getrlimit(resource, &limit) == 0 else { return }
        limit.rlim_cur = limit.rlim_max
        _ = unsafe setrlimit(resource, &limit)
    }
}
