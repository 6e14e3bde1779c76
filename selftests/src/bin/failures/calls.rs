// SPDX-License-Identifier: GPL-2.0

//! Asking what a buffer is; and what all calls need that the driver in the kernel does not have.

use selftests::Outcome;
use selftests::Udmabuf;
use selftests::driver::Driver;
use selftests::importer::Direction;
use selftests::ktap::Test;
use selftests::outcome::equal;
use selftests::outcome::skip;
use selftests::tests;

use crate::devices::buffer;
use crate::devices::narrow;
use crate::site::SHORT;
use crate::sweep::Sweep;

pub const TESTS: &[Test] = tests![query_a_buffer];

/// The device of a driver that has these calls.
pub fn device() -> Outcome<Udmabuf> {
    match Driver::under_test() {
        Driver::C => skip("a driver whose buffers can be asked"),
        Driver::Rust => Ok(Udmabuf::open()?),
    }
}

/// One that is mapped, and the driver itself.
fn query_a_buffer() -> Outcome {
    let device = device()?;
    let edu = narrow(0)?;
    let buffer = buffer(selftests::Pattern::new(1))?;
    let attachment = edu.attach(&buffer)?;
    let _mapping = attachment.map(Direction::Bidirectional)?;
    let expected = format!("{:?}", device.query(&buffer)?);
    Sweep::over("query_a_buffer").run(|site| {
        if let Some(query) = site.within("query", SHORT, || device.query(&buffer))? {
            equal("the answer", format!("{query:?}"), expected.clone())?;
        }
        site.within("features", SHORT, || device.features())
            .map(drop)
    })
}
