// SPDX-License-Identifier: GPL-2.0

//! The module itself: it is loaded, or it is not there at all.

use std::fs::File;
use std::path::Path;
use std::thread;
use std::time::Duration;

use rustix::fs::OFlags;
use rustix::system;

use selftests::Memfd;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Udmabuf;
use selftests::driver::Driver;
use selftests::ktap::Test;
use selftests::machine;
use selftests::outcome::check;
use selftests::outcome::equal;
use selftests::outcome::skip;
use selftests::tests;

use crate::site::SHORT;
use crate::sweep::Sweep;

pub const TESTS: &[Test] = tests![load_and_unload];

/// Where the guest keeps the module.
const FILE: &str = "/modules/udmabuf_rs.ko";
const LOADED: &str = "/sys/module/udmabuf_rs";

fn load_and_unload() -> Outcome {
    if Driver::under_test() == Driver::C {
        return skip("a driver that is a module");
    }
    let file = File::open(FILE)?;
    let unload = || system::delete_module(c"udmabuf_rs", OFlags::NONBLOCK.bits() as i32);
    unload()?;
    // Most of it is not ours, and takes its time.
    let stride = machine::scaled(1, 5)?;
    let swept = Sweep::over("load_and_unload")
        .sparse(0, stride)
        .run(|site| {
            let loaded = site.within("load", SHORT, || system::finit_module(&file, c"", 0))?;
            if loaded.is_none() {
                return check("it is not there", !Path::new(LOADED).exists());
            }
            if site.within("unload", SHORT, unload)?.is_none() {
                unload()?;
            }
            Ok(())
        });
    system::finit_module(&file, c"", 0)?;
    swept?;
    // The node comes a little later than the module.
    thread::sleep(Duration::from_millis(100));
    let buffer = Udmabuf::open()?.create(Memfd::new(PAGE)?.whole())?;
    equal("size", buffer.size()?, PAGE)
}
