// SPDX-License-Identifier: GPL-2.0

//! The module stays while it is needed, and goes when it is not.

use std::fs;
use std::fs::File;
use std::thread;
use std::time::Duration;

use rustix::fs::OFlags;
use rustix::system;

use selftests::Access;
use selftests::Errno;
use selftests::Memfd;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Udmabuf;
use selftests::driver::Driver;
use selftests::importer::Direction;
use selftests::importer::Edu;
use selftests::ktap::Test;
use selftests::outcome::check;
use selftests::outcome::equal;
use selftests::outcome::errno;
use selftests::outcome::fail;
use selftests::outcome::skip;
use selftests::statistics;
use selftests::tests;

pub const TESTS: &[Test] = tests![
    unload_refused_while_needed,
    unloaded_and_loaded_again,
    node_as_documented,
    node_of_no_such_name,
];

/// Where the guest keeps the module.
const FILE: &str = "/modules/udmabuf_rs.ko";

/// How many users the module has. What is part of the kernel has none.
const USERS: &str = "/sys/module/udmabuf_rs/refcnt";

fn unload() -> Result<(), Errno> {
    // As rmmod: a module in use is an error, not something to wait for.
    system::delete_module(c"udmabuf_rs", OFlags::NONBLOCK.bits() as i32)
}

fn need_module() -> Outcome {
    let is_built_in = fs::exists("/sys/module/udmabuf_rs")? && !fs::exists(USERS)?;
    match Driver::under_test() {
        Driver::Rust if !is_built_in => Ok(()),
        _ => skip("a driver that is a module"),
    }
}

fn users() -> Outcome<usize> {
    let count = fs::read_to_string(USERS)?;
    count
        .trim()
        .parse()
        .or_else(|_| fail(format_args!("refcnt is {count}")))
}

fn unload_refused_while_needed() -> Outcome {
    need_module()?;
    equal("users at the start", users()?, 0)?;
    let device = Udmabuf::open()?;
    errno("open device", unload(), Errno::AGAIN)?;
    let memfd = Memfd::new(PAGE)?;
    let buffer = device.create(memfd.whole())?;
    drop((device, memfd));
    errno("dma-buf", unload(), Errno::AGAIN)?;
    let mapping = buffer.map(Access::ReadWrite)?;
    match Edu::open(0) {
        Err(Errno::NOENT | Errno::NODEV) => drop(buffer),
        edu => {
            let edu = edu?;
            let attachment = edu.attach(&buffer)?;
            let by_device = attachment.map(Direction::Bidirectional)?;
            drop(buffer);
            errno("attached device", unload(), Errno::AGAIN)?;
            drop(by_device);
            errno("attachment", unload(), Errno::AGAIN)?;
        }
    }
    errno("mapping", unload(), Errno::AGAIN)?;
    mapping.touch(0);
    drop(mapping);
    // Whoever watches the driver has this open.
    let statistics = File::open(statistics::FILE)?;
    errno("statistics", unload(), Errno::AGAIN)?;
    drop(statistics);
    equal("users at the end", users()?, 0)
}

fn unloaded_and_loaded_again() -> Outcome {
    need_module()?;
    let file = match File::open(FILE) {
        Err(error) => return skip(format!("{FILE}: {error}")),
        Ok(file) => file,
    };
    for _ in 0..3 {
        // A buffer that has just gone must not come back to haunt the module.
        drop(Udmabuf::open()?.create(Memfd::new(PAGE)?.whole())?);
        unload()?;
        let gone = Udmabuf::open();
        let loaded = system::finit_module(&file, c"", 0);
        errno("opened without the module", gone, Errno::NOENT)?;
        loaded?;
        wait_for_device()?;
        let buffer = Udmabuf::open()?.create(Memfd::new(PAGE)?.whole())?;
        equal("size", buffer.size()?, PAGE)?;
    }
    Ok(())
}

fn node_as_documented() -> Outcome {
    if let Driver::C = Driver::under_test() {
        return skip("a driver with a parameter for it");
    }
    let parameter = Driver::Rust.parameter("node");
    equal("node", parameter.get()?, "udmabuf-rs".to_owned())?;
    equal("mode of node", parameter.mode()?, 0o444)
}

/// The module can be loaded afterwards. That a name is another driver's is not tried here: the kernel
/// shows its stack then.
fn node_of_no_such_name() -> Outcome {
    need_module()?;
    let file = match File::open(FILE) {
        Err(error) => return skip(format!("{FILE}: {error}")),
        Ok(file) => file,
    };
    unload()?;
    let unknown = [c"node=udmabuf2", c"node=../udmabuf", c"node="]
        .map(|parameters| system::finit_module(&file, parameters, 0));
    let loaded = system::finit_module(&file, c"", 0);
    for result in unknown {
        errno("an unknown name", result, Errno::INVAL)?;
    }
    loaded?;
    wait_for_device()
}

/// The node appears shortly after the module.
fn wait_for_device() -> Outcome {
    for _ in 0..100 {
        match Udmabuf::open() {
            Err(Errno::NOENT) => thread::sleep(Duration::from_millis(10)),
            Err(error) => return Err(error.into()),
            Ok(_) => return Ok(()),
        }
    }
    check("the device is there one second after the module", false)
}
