//! Embeds the BPF object when `cargo xtask ebpf` has built it. Compiles nothing and fetches
//! nothing: without the object the crate builds all the same and `load` says `NoObject`.

use std::path::Path;
use std::{env, fs};

fn main() {
    let object = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/bpf/berth.bpf.o");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={}", object.display());
    let out = env::var("OUT_DIR").expect("invariant: cargo sets OUT_DIR for build scripts");
    let embedded = match object.canonicalize() {
        Ok(path) => format!("Some(aya::include_bytes_aligned!({path:?}))"),
        Err(_) => "None".to_owned(),
    };
    let source = format!("pub(crate) static OBJECT: Option<&[u8]> = {embedded};\n");
    fs::write(Path::new(&out).join("object.rs"), source)
        .expect("invariant: cargo's OUT_DIR is writable");
}
