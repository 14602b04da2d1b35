//! How the attacker comes in: a password that was guessed, a shell of root.

use super::proc::{FORK, Proc};
use super::recorder::{Recorder, open, tuple};
use super::world::{ATTACKER, CUSTOMER, Machine, SERVER};
use scapkit_format::schema::id;
use scapkit_format::synth::Params;

/// A customer looks at a page: what the machine does all day.
pub fn page(r: &mut Recorder, m: &Machine, path: &str) {
    let p = &m.worker;
    let pair = tuple(CUSTOMER, (SERVER, 80));
    r.put(p, id::SYSCALL_EPOLLWAIT_X, &Params::new().i64(1).i64(512));
    let accepted = Params::new().i64(3).bytes(&pair).u8(0).u32(0).u32(511).u32(0x8_0800);
    r.put(p, id::SOCKET_ACCEPT4_6_X, &accepted);
    r.put(p, id::SYSCALL_EPOLLWAIT_X, &Params::new().i64(1).i64(512));
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n\r\n");
    r.receive(p, 3, request.as_bytes(), 1024, &pair);
    let file = format!("/var/www/html{}", if path == "/" { "/index.html" } else { path });
    r.open(p, 9, &file, open::READ | open::CLOEXEC, 0, 400_101 + path.len() as u64);
    r.put(p, id::SYSCALL_FSTAT_X, &Params::new().i64(0).i64(9));
    r.put(p, id::SYSCALL_SENDFILE_X, &Params::new().i64(5_112).u64(0).i64(3).i64(9).u64(5_112));
    let line = format!("198.51.100.7 - - [14/Mar/2026:02:17:05 +0000] \"GET {path} HTTP/1.1\" 200 5112\n");
    r.write(p, 5, line.as_bytes());
    r.close(p, 9);
    r.close(p, 3);
}

/// sshd takes the connection and the password. Gives the session's process and its shell.
pub fn login(r: &mut Recorder, m: &Machine) -> (Proc, Proc) {
    let pair = tuple((ATTACKER, 51_514), (SERVER, 22));
    let accepted = Params::new().i64(5).bytes(&pair).u8(0).u32(0).u32(128);
    r.put(&m.sshd, id::SOCKET_ACCEPT_5_X, &accepted);
    let mut s = r.clone(&m.sshd, 4_021, FORK);
    r.close(&m.sshd, 5);
    r.dup2(&s, 5, 0);
    r.dup2(&s, 0, 1);
    r.close(&s, 5);
    (s.args, s.exe, s.vm) = (vec!["-D", "-R"], "/usr/sbin/sshd", (14_912, 9_104));
    r.execve(&s, "/usr/sbin/sshd");
    r.load(&s);
    r.write(&s, 1, b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n");
    r.read(&s, 0, b"SSH-2.0-libssh2_1.11.0\r\n", 8_192);
    r.wait_ms(310);
    r.read(&s, 0, &[0xA7; 148], 8_192);
    r.open(&s, 4, "/etc/passwd", open::READ | open::CLOEXEC, 0, 262_301);
    r.read(&s, 4, b"root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n", 4_096);
    r.close(&s, 4);
    r.open(&s, 4, "/etc/shadow", open::READ | open::CLOEXEC, 0, 262_302);
    r.read(&s, 4, b"root:$y$j9T$documentation$0000000000000000000000000000000000000000000:20400:0:::::\n", 4_096);
    r.close(&s, 4);
    session(r, &mut s);
    r.open(&s, 8, "/dev/ptmx", open::RDWR, 0, 87);
    let mut shell = r.clone(&s, 4_022, FORK);
    (shell.pgid, shell.sid, shell.tty) = (shell.tid, shell.tid, 136 << 8 | 1);
    r.put(&shell, id::SYSCALL_SETSID_X, &Params::new().i64(shell.tid));
    r.open(&shell, 9, "/dev/pts/1", open::RDWR, 0, 4);
    for fd in 0..3 {
        r.dup2(&shell, 9, fd);
    }
    r.close(&shell, 9);
    r.close(&shell, 8);
    r.put(&shell, id::SYSCALL_CHDIR_X, &Params::new().i64(0).str("/root"));
    shell.env = vec![
        "USER=root",
        "LOGNAME=root",
        "HOME=/root",
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "SHELL=/bin/bash",
        "TERM=xterm",
        "SSH_CLIENT=203.0.113.66 51514 22",
        "SSH_TTY=/dev/pts/1",
    ];
    (shell.comm, shell.exe, shell.exepath, shell.args) = ("bash", "-bash", "/usr/bin/bash", vec![]);
    (shell.exe_ino, shell.vm, shell.cwd) = (131_402, (8_100, 5_244), "/root");
    r.execve(&shell, "/bin/bash");
    r.load(&shell);
    r.open(&shell, 3, "/root/.bashrc", open::READ, 0, 270_011);
    r.read(&shell, 3, b"# ~/.bashrc: executed by bash(1) for non-login shells.\n", 571);
    r.close(&shell, 3);
    r.write(&shell, 2, b"root@shop1:~# ");
    (s, shell)
}

/// What the login leaves behind: login uid, a line in the log.
fn session(r: &mut Recorder, s: &mut Proc) {
    s.loginuid = 0;
    s.unit = "/user.slice/user-0.slice/session-7.scope";
    r.open(s, 4, "/proc/self/loginuid", open::RDWR, 0, 88_410);
    r.write(s, 4, b"0");
    r.close(s, 4);
    r.socket(s, 4, 1, 2 | 0x8_0000, 0);
    let path = b"/run/systemd/journal/dev-log\0";
    let name = [&[1][..], path].concat();
    let (peer, own) = (0xFFFF_9A41_0210_4400u64, 0xFFFF_9A41_0677_1100u64);
    let pair = [&[1][..], &peer.to_le_bytes(), &own.to_le_bytes(), path].concat();
    r.put(s, id::SOCKET_CONNECT_X, &Params::new().i64(0).bytes(&pair).i64(4).bytes(&name));
    r.send(
        s,
        4,
        b"<38>Mar 14 02:17:12 sshd[4021]: Accepted password for root from 203.0.113.66 port 51514 ssh2",
        &pair,
    );
    r.close(s, 4);
    r.open(s, 4, "/var/log/wtmp", open::WRITE | open::APPEND | open::CLOEXEC, 0, 394_020);
    r.write(s, 4, &[7; 384]);
    r.close(s, 4);
}

/// The attacker hangs up.
pub fn logout(r: &mut Recorder, m: &Machine, session: &Proc, shell: &Proc) {
    r.read(shell, 0, b"exit\n", 1);
    r.exit(shell, Some(session), 0);
    r.close(session, 8);
    let done = Params::new().i64(0).i64(0).u8(2);
    r.put(session, id::SOCKET_SHUTDOWN_X, &done);
    r.exit(session, Some(&m.sshd), 0);
}
