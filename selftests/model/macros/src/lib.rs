// SPDX-License-Identifier: GPL-2.0

//! The attribute that makes a module a KUnit suite, for the host.

use proc_macro::TokenStream;

/// The `#[test]` functions of the module become tests of the host, under the name of the module.
#[proc_macro_attribute]
pub fn kunit_tests(_suite: TokenStream, module: TokenStream) -> TokenStream {
    let mut tests: TokenStream = "#[cfg(test)]".parse().unwrap_or_default();
    tests.extend(module);
    tests
}
