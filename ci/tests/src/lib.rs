// SPDX-License-Identifier: GPL-2.0

//! A made-up machine for scripts to run on: headers of a kernel, a source tree, compilers and tools
//! that only say what they are asked for.

mod machine;
mod outcome;

pub use machine::{Machine, RELEASE, RUSTC};
pub use outcome::Outcome;

/// A test of each scenario, with what the argument says in its module: the script as it is.
#[macro_export]
macro_rules! scenarios {
    ($script:expr; $($name:ident,)*) => {
        $(mod $name {
            #[test]
            fn holds() -> anyhow::Result<()> {
                super::$name($script)
            }
        })*
    };
}
