//! Files of packets.

use bytes::Bytes;

/// Something of the connection of a sandbox, in the order in which it is recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Number of the connection, from 0.
    pub connection: u32,
    /// What it was.
    pub what: What,
}

/// What came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// The connection was opened: the handshake is done.
    Opened,
    /// A packet: header and message.
    Packet(Bytes),
    /// What `runsc trace procfs` says of the sandbox.
    Procfs(Bytes),
    /// The connection has ended.
    Closed,
}
