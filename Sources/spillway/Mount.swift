import ArgumentParser
import FileSystem
import Glibc

/// `spillway mount`.
struct Mount: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show a directory of capture files as one live file system.",
        usage: "spillway mount SOURCE MOUNTPOINT [-o OPTION[,OPTION...]] [--foreground]",
        discussion: """
            Below the mountpoint every capture file stands for itself and all that follow
            it, as one stream without an end: a reader waits for what is still to be
            written. Sub-directories are there, too.

              NAME          from NAME on, live; NAME.. is the same
              FIRST..LAST   from FIRST to LAST, both included; NAME..NAME is one file
              OPTION/NAME   the same with an option, such as clustersize=6/NAME;
                            several may be stacked
              .end          write a file name or a pattern into it: readers end behind a
                            file that matches, before another begins; .end.PID does so
                            for one process; .last and .next then tell where
              .abend        the processes that left their cluster too early
              .status       what is being read by whom

            Options, here and as directories:
              clustersize=N       share the packets of a stream out among N readers,
                                  by flow (default: 1)
              clustermode=0..4    by 0 vlan+ip+port, 1 vlan, 2 ip, 3 vlan+ip, 4 ip+port
                                  (default: 0)
              clusterabend=0..4   when a member leaves: 0 error, 1 end, 2 end with the
                                  file, 3 error with the file, 4 ignore (default: 0)
              blockslack=N        blocks of 4096 bytes the fastest member may be ahead
                                  of the slowest (default: 2048)
              filesize=SIZE       the size shown for a stream without an end
                                  (default: 512T)
              cached              closed ranges of files that nobody writes go through
                                  the page cache
              keepcache           pages stay in the cache when a file is opened again
              order=name|mtime|packet
                                  which file follows which (default: name, numbers by
                                  their value)
              direction=oldest-first|newest-first
                                  newest-first: a Spillway cache backwards in time,
                                  batch by batch (default: oldest-first)
              follow=auto|poll    how new data is noticed (default: inotify where the
                                  source has it)
              settle=TIME         when a quiet file that has a successor counts as done
                                  (default: 2s)
            Options of mount(8) and fuse(8), such as allow_other, are understood as
            well.

            Examples:
              spillway mount /captures /mnt/live
              spillway mount /captures /mnt/live -o order=mtime,allow_other --foreground
              tcpdump -n -r /mnt/live/eth0.pcap.1700000000
              capinfos /mnt/live/a.pcap..d.pcap
              fusermount3 -u /mnt/live

            Exit codes:
              0   done                              71  the kernel refused
              64  usage                             77  not permitted
              66  no such directory
            """)

    @Argument(help: "The directory of capture files. It is only read.") var source: String
    @Argument(help: "The directory to mount it on.") var mountpoint: String

    @Option(name: .customShort("o"), help: ArgumentHelp("Options, separated by commas.", valueName: "options"))
    var options: [String] = []

    @Flag(help: "Stay in the foreground, with log lines on standard error.") var foreground = false

    func run() throws {
        do throws(MountError) {
            var understood = MountOptions()
            for list in options { try understood.take(list) }
            let session = MountSession(source: source, target: mountpoint, options: understood)
            try session.run(isForeground: foreground) { Console.standard.say("spillway: \($0)", waits: false) }
        } catch {
            throw Failure(error)
        }
    }
}
