//! Turns `proto/` into Rust. The compiler of the protos is `protox`, so nobody needs protoc.

use std::error::Error;
use std::path::{Path, PathBuf};

/// Every file that is compiled; imports are found by themselves.
const FILES: [&str; 14] = [
    "etcd/auth.proto",
    "etcd/auth_rpc.proto",
    "etcd/election.proto",
    "etcd/kv.proto",
    "etcd/lock.proto",
    "etcd/rpc.proto",
    "grpc/health.proto",
    "grpc/reflection.proto",
    "grpc/reflection_alpha.proto",
    "hstore/v1/cluster.proto",
    "hstore/v1/kv.proto",
    "hstore/v1/node.proto",
    "hstore/v1/peer.proto",
    "hstore/v1/settings.proto",
];

/// Messages that hold a secret; they say nothing of themselves but what `src/secret.rs` lets them.
const SECRET: [&str; 4] = [
    "etcdserverpb.AuthUserAddRequest",
    "etcdserverpb.AuthUserChangePasswordRequest",
    "etcdserverpb.AuthenticateRequest",
    "etcdserverpb.AuthenticateResponse",
];

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto");
    println!("cargo::rerun-if-changed={}", root.display());
    let mut compiler = protox::Compiler::new([&root])?;
    compiler.include_imports(true).open_files(FILES)?;
    let descriptors = compiler.file_descriptor_set();
    let folder = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(
        folder.join("descriptors.bin"),
        compiler.encode_file_descriptor_set(),
    )?;
    tonic_prost_build::configure()
        .bytes(".")
        .skip_debug(SECRET)
        .emit_rerun_if_changed(false)
        .compile_fds(descriptors)?;
    Ok(())
}
