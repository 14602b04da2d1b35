//! What a sandbox that already runs says of its processes.
