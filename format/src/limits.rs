//! Caps on everything that a file declares.
//!
//! A capture is untrusted input: a length in it is a claim, not a fact. Whatever is read by a
//! declared length or count is compared with one of these numbers first, and the damage or error
//! that follows names the limit.

/// Upper bounds that a reader enforces. The defaults let every capture that real machines produce
/// through and keep peak anonymous memory under 256 MB together with the state of the replay.
///
/// ```
/// use scapkit_format::Limits;
/// let limits = Limits { max_block: 1 << 20, ..Limits::default() };
/// assert!(limits.max_block < Limits::default().max_block);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Largest block in bytes, header and trailer included (the format itself has no limit;
    /// Wireshark's is 134,348,832).
    pub max_block: u32,
    /// Most entries read from one list block.
    pub max_list_entries: u64,
    /// Longest string of a list entry in bytes. The format's own bound is 65,535 (16-bit lengths);
    /// upstream refuses to read more than 4096.
    pub max_string: u16,
    /// Most plain bytes that one gzip member or zstd frame may give.
    pub max_frame_plain: u64,
    /// Largest ratio of plain to compressed bytes once a member or frame has given
    /// [`Limits::expansion_grace`] plain bytes. Captures reach 5 to 40; deflate's bound is 1032.
    pub max_expansion: u64,
    /// Plain bytes of a member or frame that are exempt from [`Limits::max_expansion`].
    pub expansion_grace: u64,
    /// Largest window of a zstd frame, as a power of two.
    pub max_zstd_window_log: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_block: 100 << 20,
            max_list_entries: 4 << 20,
            max_string: u16::MAX,
            max_frame_plain: 1 << 42,
            max_expansion: 300,
            expansion_grace: 32 << 20,
            max_zstd_window_log: 27,
        }
    }
}
