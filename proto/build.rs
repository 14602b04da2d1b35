//! Compiles the messages of `proto/` to Rust, without protoc.

/// Fields that are rare and large: in a box, or every message would have to be as large as they are.
const BOXED: [&str; 6] = [
    "FdInfo.socket",
    "ExecveInfo.stdin",
    "ExecveInfo.stdout",
    "ExecveInfo.stderr",
    "ExecveInfo.pipe_input_proc",
    "ExecveInfo.pipe_output_proc",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = ["common.proto", "container.proto", "sentry.proto", "syscall.proto"];
    for file in files {
        println!("cargo::rerun-if-changed=proto/{file}");
    }
    let compiled = protox::compile(files, ["proto"])?;
    let mut config = prost_build::Config::new();
    // Slices of the packet instead of copies.
    config.bytes(["."]);
    for field in BOXED {
        config.boxed(field);
    }
    config.compile_fds(compiled)?;
    Ok(())
}
