// SPDX-License-Identifier: GPL-2.0

//! Attributes of the kernel's, for the host.

use proc_macro::{TokenStream, TokenTree};

/// The `#[test]` functions of the module become tests of the host, under the name of the module.
#[proc_macro_attribute]
pub fn kunit_tests(_suite: TokenStream, module: TokenStream) -> TokenStream {
    let mut tests: TokenStream = "#[cfg(test)]".parse().unwrap_or_default();
    tests.extend(module);
    tests
}

/// Nothing is pinned on the host: the structure without the attributes of its fields.
#[proc_macro_attribute]
pub fn pin_data(_: TokenStream, structure: TokenStream) -> TokenStream {
    without_pins(structure)
}

fn without_pins(tokens: TokenStream) -> TokenStream {
    let mut kept: Vec<TokenTree> = Vec::new();
    for token in tokens {
        let is_hash =
            |token: &TokenTree| matches!(token, TokenTree::Punct(punct) if punct.as_char() == '#');
        match token {
            TokenTree::Group(group)
                if group.to_string() == "[pin]" && kept.last().is_some_and(is_hash) =>
            {
                kept.pop();
            }
            TokenTree::Group(group) => {
                let within = without_pins(group.stream());
                kept.push(proc_macro::Group::new(group.delimiter(), within).into());
            }
            other => kept.push(other),
        }
    }
    kept.into_iter().collect()
}
