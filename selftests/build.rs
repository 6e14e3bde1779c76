// SPDX-License-Identifier: GPL-2.0

//! Makes the Rust bindings from the kernel's own headers, so that they cannot drift apart.

use std::env;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

fn main() {
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("set by cargo"));
    let root = here.parent().expect("selftests/ lies in the tree");
    let header = here.join("abi.h");
    let include = ["uapi", "qemu/importer/uapi", "qemu/floor/uapi"].map(|path| root.join(path));

    println!("cargo::rerun-if-changed={}", header.display());
    for directory in &include {
        println!("cargo::rerun-if-changed={}", directory.display());
    }
    println!("cargo::rerun-if-env-changed=LIBCLANG_PATH");
    find_libclang();

    bindgen::builder()
        .header(header.to_string_lossy())
        .clang_args(include.iter().map(|path| format!("-I{}", path.display())))
        .allowlist_type("udmabuf_.*|edu_.*|floor_pin|dma_buf_sync|request|sync|pixel_format")
        .allowlist_type("dma_buf_(import|export)_sync_file|dma_heap_allocation_data|sw_sync_fence")
        .allowlist_type("drm_(version_of|dumb_buffer|prime)|vgem_(attach|signal)")
        .allowlist_type("v4l2_(format|requestbuffers|buffer|buf_type|memory|field)")
        .allowlist_var("UDMABUF_.*|EDU_.*")
        .default_enum_style(bindgen::EnumVariation::Consts)
        .prepend_enum_name(false)
        .derive_default(true)
        .wrap_unsafe_ops(true)
        .formatter(bindgen::Formatter::None)
        .generate()
        .expect("bindgen: is libclang installed? Set LIBCLANG_PATH to its directory")
        .write_to_file(PathBuf::from(env::var_os("OUT_DIR").expect("set by cargo")).join("abi.rs"))
        .expect("OUT_DIR is writable");
}

/// Points bindgen at the newest versioned LLVM of the system, unless the user has chosen one.
fn find_libclang() {
    if env::var_os("LIBCLANG_PATH").is_some() {
        return;
    }
    let newest = fs::read_dir("/usr/lib")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let version: u32 = entry
                .file_name()
                .to_str()?
                .strip_prefix("llvm-")?
                .parse()
                .ok()?;
            let lib = entry.path().join("lib");
            has_libclang(&lib).then_some((version, lib))
        })
        .max();
    if let Some((_, lib)) = newest {
        // SAFETY: A build script has one thread here.
        unsafe { env::set_var("LIBCLANG_PATH", lib) };
    }
}

fn has_libclang(lib: &Path) -> bool {
    fs::read_dir(lib)
        .into_iter()
        .flatten()
        .flatten()
        .any(|entry| {
            entry
                .file_name()
                .to_str()
                .is_some_and(|name| name.starts_with("libclang") && name.contains(".so"))
        })
}
