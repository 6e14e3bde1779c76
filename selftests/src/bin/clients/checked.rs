// SPDX-License-Identifier: GPL-2.0

//! All clients once more, with every access checked: which of them bracket what they touch.

use std::collections::BTreeSet;

use selftests::Outcome;
use selftests::child::exit_code;
use selftests::driver::Driver;
use selftests::ktap::Test;
use selftests::outcome::Stop;
use selftests::outcome::equal;
use selftests::outcome::skip;
use selftests::sys::fork::Child;
use selftests::tests;
use selftests::tracefs::Trace;

pub const TESTS: &[Test] = tests![what_each_client_does_wrong];

/// Those that do something wrong, and what. All others bracket as they should, or touch nothing by way
/// of the dma-buf.
const WRONG: &[(&str, &[&str])] = &[
    // A guest's memory: its CPUs know nothing of a dma-buf, and the program looks at it as it comes.
    ("qemu", &["outside"]),
    ("crosvm", &["outside"]),
    ("libkrun", &["outside"]),
    // A renderer on the CPU, for which device memory is memory.
    ("lavapipe", &["outside"]),
    ("lavapipe_import", &["outside"]),
];

/// Which kinds of wrong accesses there are while `test` runs; none for one that is skipped.
fn kinds(test: &Test) -> Outcome<Option<BTreeSet<String>>> {
    const SKIPPED: i32 = 4;

    let Some(trace) = Trace::of("udmabuf")? else {
        return skip("a kernel with CONFIG_TRACEPOINTS, and a driver that has some");
    };
    let child = Child::run(|| match (test.run)() {
        Err(Stop::Skip(_)) => SKIPPED,
        other => exit_code(test.name, || other),
    })?;
    let code = child.wait()?.exit_status();
    if code == Some(SKIPPED) {
        return Ok(None);
    }
    equal(test.name, code, Some(0))?;
    let events = trace.take()?.into_iter();
    let wrong = events.filter(|event| event.name == "udmabuf_wrong");
    Ok(Some(
        wrong.map(|event| event.text("wrong").to_owned()).collect(),
    ))
}

/// And none of them sees anything else than without.
fn what_each_client_does_wrong() -> Outcome {
    let parameter = Driver::under_test().parameter("check");
    let _changed = match parameter.set("1") {
        Err(_) if Driver::under_test() == Driver::C => return skip("a driver that checks"),
        changed => changed?,
    };
    for test in crate::CLIENTS.concat() {
        let Some(kinds) = kinds(&test)? else { continue };
        let mut known = WRONG.iter().filter(|(name, _)| *name == test.name);
        let expected = known.next().map_or(&[][..], |(_, kinds)| kinds);
        let expected = expected.iter().map(|kind| (*kind).to_owned()).collect();
        println!("# {}: {kinds:?}", test.name);
        equal(test.name, kinds, expected)?;
    }
    Ok(())
}
