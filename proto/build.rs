//! Compiles the messages of `proto/` to Rust, without protoc.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = ["common.proto", "container.proto", "sentry.proto", "syscall.proto"];
    for file in files {
        println!("cargo::rerun-if-changed=proto/{file}");
    }
    let compiled = protox::compile(files, ["proto"])?;
    // Slices of the packet instead of copies.
    prost_build::Config::new().bytes(["."]).compile_fds(compiled)?;
    Ok(())
}
