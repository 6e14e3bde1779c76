// SPDX-License-Identifier: GPL-2.0

//! Says that suites are built, as a kernel with KUnit does.

fn main() {
    println!("cargo::rustc-check-cfg=cfg(CONFIG_KUNIT, values(\"y\"))");
    println!("cargo::rustc-cfg=CONFIG_KUNIT=\"y\"");
    println!("cargo::rerun-if-changed=build.rs");
}
