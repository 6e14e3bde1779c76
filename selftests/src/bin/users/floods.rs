// SPDX-License-Identifier: GPL-2.0

//! A user who is refused all the time, and an administrator who cannot decide.

use selftests::Access;
use selftests::Errno;
use selftests::Mapping;
use selftests::Memfd;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Udmabuf;
use selftests::abi;
use selftests::driver::Driver;
use selftests::kmsg::Kmsg;
use selftests::ktap::Test;
use selftests::outcome::check;
use selftests::outcome::equal;
use selftests::outcome::errno;
use selftests::outcome::skip;
use selftests::sys;
use selftests::tests;

use crate::beside::beside;
use crate::user::User;

pub const TESTS: &[Test] = tests![refusals_leave_no_trace_in_the_log, parameters_change];

/// What the kernel may say for reasons of its own while a test runs.
const RECORDS: usize = 8;

/// How often everything is refused before the honest user begins.
const TIMES: usize = 100;

/// Whatever a user asks for in vain, the kernel's log does not fill with it.
fn refusals_leave_no_trace_in_the_log() -> Outcome {
    let mut log = Kmsg::watch()?;
    beside(None, |ready| {
        User::Hostile.become_one()?;
        let (device, memfd) = (Udmabuf::open()?, Memfd::new(2 * PAGE)?);
        let buffer = device.create(memfd.range(0, PAGE))?;
        let be_refused = || -> Outcome {
            let beyond = device.create(memfd.range(0, 4 * PAGE));
            errno("beyond the end", beyond, Errno::INVAL)?;
            errno(
                "misaligned",
                device.create(memfd.range(1, PAGE)),
                Errno::INVAL,
            )?;
            errno("nothing", device.create(memfd.range(0, 0)), Errno::INVAL)?;
            errno("no items", device.create_list(&[]), Errno::INVAL)?;
            let node = selftests::Item::new(&device, 0, PAGE as u64);
            errno("no memfd", device.create(node), Errno::BADFD)?;
            let call = |request, at| sys::ioctl::udmabuf(&device, request, at);
            errno(
                "nowhere",
                call(abi::REQUEST_UDMABUF_CREATE, 0),
                Errno::FAULT,
            )?;
            errno(
                "nowhere",
                call(abi::REQUEST_UDMABUF_CREATE_LIST, 0),
                Errno::FAULT,
            )?;
            errno("unknown", call(0x7540, 0), Errno::NOTTY)?;
            errno("bracket of nothing", buffer.sync(0), Errno::INVAL)?;
            errno("unknown flags", buffer.sync(u64::MAX), Errno::INVAL)?;
            let private = Mapping::private(&buffer, 0, PAGE, Access::Read);
            errno("private", private.map(drop), Errno::INVAL)?;
            let beyond = Mapping::shared(&buffer, 0, 2 * PAGE, Access::Read);
            errno("mapped beyond the end", beyond.map(drop), Errno::INVAL)
        };
        for _ in 0..TIMES {
            be_refused()?;
        }
        ready.tell()?;
        loop {
            be_refused()?;
        }
    })?;
    let records = log.records()?;
    check(
        format_args!("{} records in the log: {:?}", records.len(), records.last()),
        records.len() <= RECORDS,
    )
}

/// All values allow what the honest user does.
fn parameters_change() -> Outcome {
    if Driver::under_test() == Driver::C {
        return skip("a driver whose parameters all change");
    }
    let values = [
        ("list_limit", ["1", "16384"]),
        ("size_limit_mb", ["1", "2147483647"]),
        ("memlock", ["N", "Y"]),
    ]
    .map(|(name, values)| (Driver::Rust.parameter(name), values));
    let mut now = Vec::new();
    for (parameter, _) in &values {
        now.push(parameter.set(&parameter.get()?)?);
    }
    beside(None, |ready| {
        User::Hostile.have_a_cpu()?;
        ready.tell()?;
        for index in (0..2).cycle() {
            for (parameter, values) in &values {
                // This restores nothing: the guards of the parent do.
                std::mem::forget(parameter.set(values[index])?);
                equal("value", parameter.get()?, values[index].to_owned())?;
            }
        }
        unreachable!("a cycle ends");
    })
}
