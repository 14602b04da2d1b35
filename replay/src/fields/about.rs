//! The list of all fields, for people: by class, in the order of the field reference, with a word on each.

use super::{Field, Takes, Traits, all};

/// Fields that belong together.
#[derive(Debug)]
pub struct Class {
    /// Its name: what stands before the first dot of its fields, mostly.
    pub name: &'static str,
    /// What its fields are about.
    pub about: &'static str,
    fields: &'static [(&'static str, &'static str)],
}

/// A field of the list.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// What it is.
    pub about: &'static str,
    /// The field.
    pub field: &'static Field,
}

impl Class {
    /// Its fields.
    pub fn fields(&self) -> impl Iterator<Item = Entry> {
        self.fields.iter().filter_map(|(name, about)| Some(Entry { about, field: all().find(|f| f.name == *name)? }))
    }
}

impl Takes {
    /// What stands behind the name, as people write it; `None` when nothing does.
    pub fn form(self) -> Option<&'static str> {
        match self {
            Takes::Nothing => None,
            Takes::Argument => Some(".NAME or [N]"),
            Takes::ArgumentName => Some(".NAME"),
            Takes::Index => Some("[N]"),
            Takes::Time => Some("[NS]"),
            Takes::Key => Some("[KEY] or .KEY"),
            Takes::IndexOrKey => Some("[N] or [PATTERN]"),
            Takes::IndexOrName => Some("[N] or [NAME]"),
            Takes::Word => Some(".NAME or [NAME]"),
            Takes::Side => Some(".src or .dst"),
            Takes::EventType => Some(".NAME or .N"),
        }
    }

    /// Whether the field means nothing without it.
    pub fn is_required(self) -> bool {
        !matches!(self, Takes::Nothing | Takes::Index | Takes::IndexOrName | Takes::Side)
    }
}

impl Traits {
    /// Those that matter to people, in words.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        const WORDS: [(Traits, &str); 4] = [
            (Traits::LIST, "list"),
            (Traits::FILTER_ONLY, "filter only"),
            (Traits::PRINT_ONLY, "print only"),
            (Traits::DEPRECATED, "deprecated"),
        ];
        WORDS.into_iter().filter(move |(t, _)| self.has(*t)).map(|(_, word)| word)
    }
}

/// All classes.
pub static CLASSES: &[Class] = &[
    Class { name: "evt", about: "any event", fields: EVENT },
    Class { name: "evt of calls", about: "system calls", fields: CALL },
    Class { name: "proc", about: "the process and thread that did it", fields: PROCESS },
    Class { name: "user", about: "the user that the thread acts as", fields: USER },
    Class { name: "group", about: "the group that the thread acts as", fields: GROUP },
    Class { name: "fd", about: "the file or socket that the event makes, uses or closes", fields: FD },
    Class { name: "fs.path", about: "paths that successful calls on the file system name", fields: PATH },
    Class { name: "util", about: "helpers", fields: UTIL },
    Class { name: "fdlist", about: "the fds of poll and ppoll", fields: FDLIST },
    Class { name: "container", about: "the container and Kubernetes pod of the thread", fields: CONTAINER },
    Class { name: "span", about: "tracers of sysdig, which nothing writes any more", fields: SPAN },
    Class { name: "evtin", about: "the tracer around an event, which nothing writes any more", fields: EVTIN },
    Class { name: "syslog", about: "messages written to the system log", fields: SYSLOG },
    Class { name: "mesos", about: "Mesos and Marathon, whose metadata no capture has any more", fields: MESOS },
];

type Rows = &'static [(&'static str, &'static str)];

const EVENT: Rows = &[
    ("evt.num", "number of the event in the view, from 1"),
    ("evt.time", "time of day, with nanoseconds"),
    ("evt.time.s", "time of day, to the second"),
    ("evt.time.iso8601", "date and time in UTC, with nanoseconds, as ISO 8601 writes them"),
    ("evt.datetime", "date and time of day, with nanoseconds"),
    ("evt.datetime.s", "date and time of day, to the second"),
    ("evt.rawtime", "nanoseconds since 1970"),
    ("evt.rawtime.s", "full seconds since 1970"),
    ("evt.rawtime.ns", "nanoseconds since the last full second"),
    ("evt.reltime", "nanoseconds since the first event"),
    ("evt.reltime.s", "full seconds since the first event"),
    ("evt.reltime.ns", "nanoseconds of evt.reltime beyond its full seconds"),
    ("evt.pluginname", "name of the plugin that made the event"),
    ("evt.plugininfo", "the event in the words of its plugin"),
    ("evt.source", "where the event comes from: `syscall`, or the source of a plugin"),
    ("evt.is_async", "whether it tells of the capture or of containers, not of something that a thread did"),
    ("evt.asynctype", "kind of an asynchronous event, such as `container`"),
    ("evt.hostname", "name of the machine that was recorded"),
];

const CALL: Rows = &[
    ("evt.latency", "nanoseconds from the start of the call to its end"),
    ("evt.latency.s", "full seconds from the start of the call to its end"),
    ("evt.latency.ns", "nanoseconds of evt.latency beyond its full seconds"),
    ("evt.latency.quantized", "logarithm of evt.latency, for spectrograms"),
    ("evt.latency.human", "evt.latency with a unit, such as 10.3ms"),
    ("evt.deltatime", "nanoseconds since the event before it"),
    ("evt.deltatime.s", "full seconds since the event before it"),
    ("evt.deltatime.ns", "nanoseconds of evt.deltatime beyond its full seconds"),
    ("evt.outputtime", "the time that -t asks for"),
    ("evt.dir", "`>` for the start of a call, `<` for its end"),
    ("evt.type", "name of the event; of a call: the call's"),
    ("evt.type.is", "1 for events of the type that is named, else 0"),
    ("syscall.type", "name of the call; none for events that are no calls"),
    ("evt.category", "what the event is about: file, net, process, memory, ..."),
    ("evt.cpu", "number of the CPU, from 0"),
    ("evt.args", "all arguments, as NAME=VALUE"),
    ("evt.arg", "one argument as text, resolved where it stands for something: a path, a flag, a process"),
    ("evt.rawarg", "one argument as it is recorded, for comparing numbers"),
    ("evt.info", "all arguments, as evt.args"),
    ("evt.buffer", "the data that was read or written"),
    ("evt.buflen", "bytes that were read or written"),
    ("evt.res", "`SUCCESS`, or the name of the error"),
    ("evt.rawres", "what the call returned, as a number"),
    ("evt.failed", "whether the call returned an error"),
    ("evt.is_io", "whether the call reads from or writes to an fd"),
    ("evt.is_io_read", "whether the call reads from an fd"),
    ("evt.is_io_write", "whether the call writes to an fd"),
    ("evt.io_dir", "`read` or `write`"),
    ("evt.is_wait", "whether the call makes its thread wait"),
    ("evt.wait_latency", "nanoseconds that a waiting call took"),
    ("evt.is_syslog", "whether it writes to /dev/log"),
    ("evt.count", "1, for adding up"),
    ("evt.count.error", "1 for calls that failed, else 0"),
    ("evt.count.error.file", "as evt.count.error, of calls on files"),
    ("evt.count.error.net", "as evt.count.error, of calls on sockets"),
    ("evt.count.error.memory", "as evt.count.error, of calls on memory"),
    ("evt.count.error.other", "as evt.count.error, of all other calls"),
    ("evt.count.exit", "1 for the end of a call"),
    ("evt.count.procinfo", "1 for processor statistics of a main thread"),
    ("evt.count.threadinfo", "1 for processor statistics of any thread"),
    ("evt.around", "compared with milliseconds: whether the event is that near to the time in brackets"),
    ("evt.abspath", "path that a call names relative to a directory's fd, made absolute; .src and .dst of two"),
    ("evt.buflen.in", "bytes that were read"),
    ("evt.buflen.out", "bytes that were written"),
    ("evt.buflen.file", "bytes that were read from or written to files"),
    ("evt.buflen.file.in", "bytes that were read from files"),
    ("evt.buflen.file.out", "bytes that were written to files"),
    ("evt.buflen.net", "bytes that were received or sent over the network"),
    ("evt.buflen.net.in", "bytes that were received over the network"),
    ("evt.buflen.net.out", "bytes that were sent over the network"),
    ("evt.is_open_read", "whether a file is opened for reading"),
    ("evt.is_open_write", "whether a file is opened for writing"),
    ("evt.infra.docker.name", "what an event of Docker tells of"),
    ("evt.infra.docker.container.id", "id of the container that an event of Docker tells of"),
    ("evt.infra.docker.container.name", "name of the container that an event of Docker tells of"),
    ("evt.infra.docker.container.image", "image of the container that an event of Docker tells of"),
    ("evt.is_open_exec", "whether a file is made that may be executed"),
    ("evt.is_open_create", "whether a file is opened that did not exist"),
];

const PROCESS: Rows = &[
    ("proc.exe", "first argument of the command line: what the program was called as"),
    ("proc.pexe", "proc.exe of the parent"),
    ("proc.aexe", "proc.exe of an ancestor: 0 is the process itself, 1 its parent; without number: of any"),
    ("proc.exepath", "path of the program"),
    ("proc.pexepath", "proc.exepath of the parent"),
    ("proc.aexepath", "proc.exepath of an ancestor, by number or of any"),
    ("proc.name", "name of the program, cut at 15 bytes by the kernel"),
    ("proc.pname", "proc.name of the parent"),
    ("proc.aname", "proc.name of an ancestor, by number or of any"),
    ("proc.args", "arguments without the first word of the command line; with a number: one of them, from 0"),
    ("proc.aargs", "proc.args of an ancestor, by number or of any"),
    ("proc.cmdline", "name and arguments"),
    ("proc.pcmdline", "proc.cmdline of the parent"),
    ("proc.acmdline", "proc.cmdline of an ancestor, by number or of any"),
    ("proc.cmdnargs", "number of arguments"),
    ("proc.cmdlenargs", "bytes of all arguments, without the spaces between them"),
    ("proc.exeline", "first word of the command line and arguments"),
    ("proc.env", "environment as NAME=VALUE; with a name: value of that variable"),
    ("proc.aenv", "proc.env of an ancestor by number; with a name: the nearest ancestor's value that is not empty"),
    ("proc.cwd", "directory that the process is in"),
    ("proc.loginshellid", "pid of the oldest ancestor that is a shell"),
    ("proc.tty", "number of the controlling terminal; 0 is none"),
    ("proc.pid", "id of the process"),
    ("proc.ppid", "id of the parent"),
    ("proc.apid", "id of an ancestor, by number or of any"),
    ("proc.vpid", "id of the process in its own pid namespace"),
    ("proc.pvpid", "id of the parent in the parent's pid namespace"),
    ("proc.sid", "id of the session"),
    ("proc.sname", "name of the session's leader"),
    ("proc.sid.exe", "proc.exe of the session's leader"),
    ("proc.sid.exepath", "proc.exepath of the session's leader"),
    ("proc.vpgid", "id of the process group in the process's own pid namespace"),
    ("proc.vpgid.name", "name of the leader of group proc.vpgid"),
    ("proc.vpgid.exe", "proc.exe of the leader of group proc.vpgid"),
    ("proc.vpgid.exepath", "proc.exepath of the leader of group proc.vpgid"),
    ("proc.pgid", "id of the process group, as the machine sees it"),
    ("proc.pgid.name", "name of the leader of group proc.pgid"),
    ("proc.pgid.exe", "proc.exe of the leader of group proc.pgid"),
    ("proc.pgid.exepath", "proc.exepath of the leader of group proc.pgid"),
    ("proc.duration", "nanoseconds since the process began"),
    ("proc.ppid.duration", "nanoseconds since the parent began"),
    ("proc.pid.ts", "when the process began, nanoseconds since 1970"),
    ("proc.ppid.ts", "when the parent began, nanoseconds since 1970"),
    ("proc.is_exe_writable", "whether the process's user may write to the program's file"),
    ("proc.is_exe_upper_layer", "whether the program's file is in the upper layer of an overlay: new or changed"),
    ("proc.is_exe_lower_layer", "whether the program's file is in the lower layer of an overlay: of the image"),
    ("proc.is_exe_from_memfd", "whether the program is in memory only, without a file"),
    ("proc.is_sid_leader", "whether the process leads its session"),
    ("proc.is_vpgid_leader", "whether the process leads group proc.vpgid"),
    ("proc.is_pgid_leader", "whether the process leads group proc.pgid"),
    ("proc.exe_ino", "inode of the program's file"),
    ("proc.exe_ino.ctime", "when that inode was changed last, nanoseconds since 1970"),
    ("proc.exe_ino.mtime", "when that file was written last, nanoseconds since 1970"),
    ("proc.exe_ino.ctime_duration_proc_start", "nanoseconds from the inode's change to the process's start"),
    ("proc.exe_ino.ctime_duration_pidns_start", "nanoseconds from the pid namespace's start to the inode's change"),
    ("proc.pidns_init_start_ts", "when the pid namespace began, nanoseconds since 1970"),
    ("thread.cap_permitted", "capabilities that the thread may use"),
    ("thread.cap_inheritable", "capabilities that programs may get which the thread starts"),
    ("thread.cap_effective", "capabilities that the thread uses"),
    ("proc.fdopencount", "number of open fds"),
    ("proc.fdlimit", "most fds that may be open"),
    ("proc.fdusage", "open fds in percent of what may be open"),
    ("proc.vmsize", "virtual memory, kB"),
    ("proc.vmrss", "resident memory, kB"),
    ("proc.vmswap", "swapped memory, kB"),
    ("thread.pfmajor", "page faults that needed the disk, since the start"),
    ("thread.pfminor", "page faults that did not need the disk, since the start"),
    ("thread.tid", "id of the thread"),
    ("thread.ismain", "whether it is the process's first thread"),
    ("thread.vtid", "id of the thread in its own pid namespace"),
    ("thread.nametid", "name and id of the thread, written together"),
    ("thread.exectime", "nanoseconds on the CPU until this switch"),
    ("thread.totexectime", "nanoseconds on the CPU since the capture began"),
    ("thread.cgroups", "all cgroups, as SUBSYSTEM=PATH"),
    ("thread.cgroup", "path of the cgroup of one subsystem"),
    ("proc.nthreads", "threads of the process that live"),
    ("proc.nchilds", "threads of the process that live, without the first"),
    ("thread.cpu", "CPU time since the statistics before, in percent"),
    ("thread.cpu.user", "as thread.cpu, outside of the kernel"),
    ("thread.cpu.system", "as thread.cpu, in the kernel"),
    ("thread.vmsize", "virtual memory of the process, kB; 0 for all but its first thread"),
    ("thread.vmrss", "resident memory of the process, kB; 0 for all but its first thread"),
    ("thread.vmsize.b", "thread.vmsize in bytes"),
    ("thread.vmrss.b", "thread.vmrss in bytes"),
    ("proc.stdin.type", "fd.type of fd 0"),
    ("proc.stdout.type", "fd.type of fd 1"),
    ("proc.stderr.type", "fd.type of fd 2"),
    ("proc.stdin.name", "fd.name of fd 0"),
    ("proc.stdout.name", "fd.name of fd 1"),
    ("proc.stderr.name", "fd.name of fd 2"),
];

const USER: Rows = &[
    ("user.uid", "number of the user"),
    ("user.name", "name of the user"),
    ("user.homedir", "home of the user"),
    ("user.shell", "shell of the user"),
    ("user.loginuid", "number of the user that logged in; -1 when nobody did"),
    ("user.loginname", "name of the user that logged in"),
];

const GROUP: Rows = &[("group.gid", "number of the group"), ("group.name", "name of the group")];

const FD: Rows = &[
    ("fd.num", "number of the fd"),
    ("fd.type", "what it is: file, directory, ipv4, ipv6, unix, pipe, event, signalfd, eventpoll, inotify, ..."),
    ("fd.typechar", "fd.type as one letter, as in lines of events: f, d, 4, 6, u, p, e, s, l, i, ..."),
    ("fd.name", "path of a file, both ends of a connection, ..."),
    ("fd.directory", "directory that a file is in"),
    ("fd.filename", "name of a file without its directory"),
    ("fd.ip", "compared with both addresses of a connection"),
    ("fd.cip", "address of the client"),
    ("fd.sip", "address of the server"),
    ("fd.lip", "address on this machine"),
    ("fd.rip", "address on the other machine"),
    ("fd.port", "compared with both ports of a connection"),
    ("fd.cport", "port of the client"),
    ("fd.sport", "port of the server"),
    ("fd.lport", "port on this machine"),
    ("fd.rport", "port on the other machine"),
    ("fd.l4proto", "protocol of a socket: tcp, udp, icmp or raw"),
    ("fd.sockfamily", "`ip` or `unix`"),
    ("fd.is_server", "whether this process is the server of the connection"),
    ("fd.uid", "ids of thread and fd, written together"),
    ("fd.containername", "id of the container, a colon, fd.name"),
    ("fd.containerdirectory", "id of the container, a colon, fd.directory"),
    ("fd.proto", "compared with both ports of a connection; names of services are taken too"),
    ("fd.cproto", "service of the client's port"),
    ("fd.sproto", "service of the server's port"),
    ("fd.lproto", "service of the port on this machine"),
    ("fd.rproto", "service of the port on the other machine"),
    ("fd.net", "compared with both addresses of a connection; the other side is a network such as 10.0.0.0/8"),
    ("fd.cnet", "the client's address, compared with a network"),
    ("fd.snet", "the server's address, compared with a network"),
    ("fd.lnet", "the address on this machine, compared with a network"),
    ("fd.rnet", "the address on the other machine, compared with a network"),
    ("fd.connected", "whether the socket is connected"),
    ("fd.name_changed", "whether the event gave the fd another name"),
    ("fd.cip.name", "host name of the client's address"),
    ("fd.sip.name", "host name of the server's address"),
    ("fd.lip.name", "host name of the address on this machine"),
    ("fd.rip.name", "host name of the address on the other machine"),
    ("fd.dev", "number of the device that a file is on, hexadecimal"),
    ("fd.dev.major", "major number of the device that a file is on"),
    ("fd.dev.minor", "minor number of the device that a file is on"),
    ("fd.ino", "inode of a file"),
    ("fd.nameraw", "path of a file as the program gave it"),
    ("fd.types", "fd.type of all fds of the process, each once; with a number: that of one fd"),
    ("fd.is_upper_layer", "whether a file is in the upper layer of an overlay: new or changed"),
    ("fd.is_lower_layer", "whether a file is in the lower layer of an overlay: of the image"),
];

const PATH: Rows = &[
    ("fs.path.name", "path of calls that name one, absolute"),
    ("fs.path.nameraw", "path of calls that name one, as the program gave it"),
    ("fs.path.source", "of calls that name two: where the thing comes from, or the new link; absolute"),
    ("fs.path.sourceraw", "fs.path.source as the program gave it"),
    ("fs.path.target", "of calls that name two: where the thing goes, or what a link leads to; absolute"),
    ("fs.path.targetraw", "fs.path.target as the program gave it"),
];

const UTIL: Rows = &[("util.cnt", "counts up each time it is asked")];

const FDLIST: Rows = &[
    ("fdlist.nums", "numbers of the fds"),
    ("fdlist.names", "fd.name of each"),
    ("fdlist.cips", "fd.cip of each"),
    ("fdlist.sips", "fd.sip of each"),
    ("fdlist.cports", "fd.cport of each"),
    ("fdlist.sports", "fd.sport of each"),
];

const CONTAINER: Rows = &[
    ("container.id", "id of the container, cut at 12 characters; `host` outside of containers"),
    ("container.name", "name of the container; `host` outside of containers"),
    ("container.image.repository", "repository of the image"),
    ("container.image.tag", "tag of the image"),
    ("k8s.pod.name", "name of the pod"),
    ("k8s.ns.name", "namespace of the pod"),
    ("container.full_id", "id of the container, whole"),
    ("container.image", "name of the image"),
    ("container.image.id", "id of the image"),
    ("container.type", "what runs it: docker, containerd, cri-o, podman, lxc, ..."),
    ("container.mounts", "all mounts, as SOURCE:DESTINATION:MODE:WRITABLE:PROPAGATION"),
    ("container.image.digest", "digest of the image"),
    ("container.ip", "address of the container"),
    ("container.cni.json", "network configuration of the container, JSON"),
    ("container.labels", "all labels, as KEY:VALUE"),
    ("k8s.pod.id", "id of the pod, as k8s.pod.uid"),
    ("k8s.pod.uid", "id of the pod"),
    ("k8s.pod.sandbox_id", "id of the pod's sandbox, cut at 12 characters"),
    ("k8s.pod.full_sandbox_id", "id of the pod's sandbox, whole"),
    ("k8s.pod.labels", "all labels of the pod, as KEY:VALUE"),
    ("k8s.pod.ip", "address of the pod"),
    ("k8s.pod.cni.json", "network configuration of the pod, JSON"),
    ("container.privileged", "whether it runs privileged"),
    ("container.host_pid", "whether it is in the machine's pid namespace"),
    ("container.host_network", "whether it is in the machine's network namespace"),
    ("container.host_ipc", "whether it is in the machine's IPC namespace"),
    ("container.mount", "one mount, by number or source"),
    ("container.mount.source", "source of a mount, by number or destination"),
    ("container.mount.dest", "destination of a mount, by number or source"),
    ("container.mount.mode", "mode of a mount, by number or source"),
    ("container.mount.rdwr", "whether a mount may be written to, by number or source"),
    ("container.mount.propagation", "propagation of a mount, by number or source"),
    ("container.label", "one label"),
    ("k8s.pod.label", "one label of the pod"),
    ("container.start_ts", "when it began, nanoseconds since 1970"),
    ("container.duration", "nanoseconds since it began"),
    ("container.healthcheck", "health check; no capture has it"),
    ("container.liveness_probe", "liveness probe; no capture has it"),
    ("container.readiness_probe", "readiness probe; no capture has it"),
    ("proc.is_container_healthcheck", "whether the process is a health check; not known any more"),
    ("proc.is_container_liveness_probe", "whether the process is a liveness probe; not known any more"),
    ("proc.is_container_readiness_probe", "whether the process is a readiness probe; not known any more"),
    ("k8s.rc.name", "name of the replication controller; no capture has it"),
    ("k8s.rc.id", "id of the replication controller; no capture has it"),
    ("k8s.rc.labels", "labels of the replication controller; no capture has them"),
    ("k8s.rc.label", "one label of the replication controller; no capture has it"),
    ("k8s.svc.name", "name of the service; no capture has it"),
    ("k8s.svc.id", "id of the service; no capture has it"),
    ("k8s.svc.labels", "labels of the service; no capture has them"),
    ("k8s.svc.label", "one label of the service; no capture has it"),
    ("k8s.rs.name", "name of the replica set; no capture has it"),
    ("k8s.rs.id", "id of the replica set; no capture has it"),
    ("k8s.rs.labels", "labels of the replica set; no capture has them"),
    ("k8s.rs.label", "one label of the replica set; no capture has it"),
    ("k8s.deployment.name", "name of the deployment; no capture has it"),
    ("k8s.deployment.id", "id of the deployment; no capture has it"),
    ("k8s.deployment.labels", "labels of the deployment; no capture has them"),
    ("k8s.deployment.label", "one label of the deployment; no capture has it"),
    ("k8s.ns.id", "id of the namespace; no capture has it"),
    ("k8s.ns.labels", "labels of the namespace; no capture has them"),
    ("k8s.ns.label", "one label of the namespace; no capture has it"),
];

const SPAN: Rows = &[
    ("span.id", "id of the span"),
    ("span.time", "time of the span's enter or exit"),
    ("span.ntags", "number of its tags"),
    ("span.nargs", "number of its arguments"),
    ("span.tags", "its tags, joined by dots"),
    ("span.tag", "one tag, by number"),
    ("span.args", "its arguments, as NAME=VALUE"),
    ("span.arg", "one argument, by name or number"),
    ("span.enterargs", "arguments of its enter"),
    ("span.enterarg", "one argument of its enter, by name or number"),
    ("span.duration", "nanoseconds from enter to exit"),
    ("span.duration.quantized", "logarithm of span.duration, for spectrograms"),
    ("span.duration.human", "span.duration with a unit"),
    ("span.duration.fortag", "span.duration of spans with that many tags"),
    ("span.count", "1 at the span's exit, for adding up"),
    ("span.count.fortag", "span.count of spans with that many tags"),
    ("span.childcount.fortag", "1 at the exit of a span with more tags than that"),
    ("span.idtag", "id and one tag, by number"),
    ("span.rawtime", "time of the span, nanoseconds since 1970"),
    ("span.rawparenttime", "time of the span around it, nanoseconds since 1970"),
];

const EVTIN: Rows = &[
    ("evtin.span.id", "id of a span that the event is in"),
    ("evtin.span.ntags", "number of that span's tags"),
    ("evtin.span.nargs", "number of that span's arguments"),
    ("evtin.span.tags", "that span's tags"),
    ("evtin.span.tag", "one tag of that span"),
    ("evtin.span.args", "that span's arguments"),
    ("evtin.span.arg", "one argument of that span"),
    ("evtin.span.p.id", "id of a span of the event's process"),
    ("evtin.span.p.ntags", "number of that span's tags"),
    ("evtin.span.p.nargs", "number of that span's arguments"),
    ("evtin.span.p.tags", "that span's tags"),
    ("evtin.span.p.tag", "one tag of that span"),
    ("evtin.span.p.args", "that span's arguments"),
    ("evtin.span.p.arg", "one argument of that span"),
    ("evtin.span.s.id", "id of a span of a script that started the event's process"),
    ("evtin.span.s.ntags", "number of that span's tags"),
    ("evtin.span.s.nargs", "number of that span's arguments"),
    ("evtin.span.s.tags", "that span's tags"),
    ("evtin.span.s.tag", "one tag of that span"),
    ("evtin.span.s.args", "that span's arguments"),
    ("evtin.span.s.arg", "one argument of that span"),
    ("evtin.span.m.id", "id of a span of any process on the machine"),
    ("evtin.span.m.ntags", "number of that span's tags"),
    ("evtin.span.m.nargs", "number of that span's arguments"),
    ("evtin.span.m.tags", "that span's tags"),
    ("evtin.span.m.tag", "one tag of that span"),
    ("evtin.span.m.args", "that span's arguments"),
    ("evtin.span.m.arg", "one argument of that span"),
];

const SYSLOG: Rows = &[
    ("syslog.facility.str", "name of the part of the system that the message is of"),
    ("syslog.facility", "number of the part of the system that the message is of"),
    ("syslog.severity.str", "name of the message's severity, from emerg to debug"),
    ("syslog.severity", "number of the message's severity, from 0 to 7"),
    ("syslog.message", "the message"),
];

const MESOS: Rows = &[
    ("mesos.task.name", "name of the task"),
    ("mesos.task.id", "id of the task"),
    ("mesos.task.label", "one label of the task"),
    ("mesos.task.labels", "labels of the task"),
    ("mesos.framework.name", "name of the framework"),
    ("mesos.framework.id", "id of the framework"),
    ("marathon.app.name", "name of the application"),
    ("marathon.app.id", "id of the application"),
    ("marathon.app.label", "one label of the application"),
    ("marathon.app.labels", "labels of the application"),
    ("marathon.group.name", "name of the group"),
    ("marathon.group.id", "id of the group"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_field_is_listed_once() {
        let rows: Vec<Entry> = CLASSES.iter().flat_map(Class::fields).collect();
        let names: BTreeSet<&str> = rows.iter().map(|r| r.field.name).collect();
        let listed: usize = CLASSES.iter().map(|class| class.fields.len()).sum();
        assert_eq!((listed, rows.len(), names.len(), all().count()), (359, 359, 359, 359));
        for row in rows {
            let about = row.about;
            assert!(!about.is_empty() && about.len() <= 100 && about.trim() == about, "{}", row.field.name);
            assert!(!about.ends_with('.') || about.ends_with("..."), "{}", row.field.name);
        }
    }
}
