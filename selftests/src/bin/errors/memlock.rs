// SPDX-License-Identifier: GPL-2.0

//! The module parameter memlock: a buffer's pages count as locked by the user who made it.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use rustix::io;
use rustix::pipe;
use rustix::process;
use rustix::process::Resource;
use rustix::process::Rlimit;
use rustix::process::Uid;
use rustix::thread;

use selftests::Backing;
use selftests::DmaBuf;
use selftests::Errno;
use selftests::HUGE_PAGE;
use selftests::Memfd;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Udmabuf;
use selftests::child::exit_code;
use selftests::child::in_child;
use selftests::driver::Driver;
use selftests::driver::Parameter;
use selftests::hugepage;
use selftests::ktap::Test;
use selftests::limit::Limit;
use selftests::limit::readable_within;
use selftests::outcome::check;
use selftests::outcome::equal;
use selftests::outcome::errno;
use selftests::outcome::skip;
use selftests::sys::fork::Child;
use selftests::tests;

pub const TESTS: &[Test] = tests![
    memlock_as_documented,
    memlock_off_locks_nothing,
    memlock_up_to_the_limit,
    memlock_of_all_processes,
    memlock_of_a_request_that_fails,
    memlock_of_another_user,
    memlock_of_root,
    memlock_while_buffers_live,
    memlock_of_huge_pages,
];

const USER: u32 = 1000;
const OTHER: u32 = 1001;

/// Pages that the user of these tests may lock.
const MOST: usize = 4;

fn memlock() -> Outcome<Parameter> {
    match Driver::under_test() {
        Driver::C => skip("a driver that counts locked pages"),
        Driver::Rust => Ok(Driver::Rust.parameter("memlock")),
    }
}

/// Lives on as a user who may lock no more than [`MOST`] pages.
fn become_user(user: u32) -> Outcome {
    become_user_with(user, MOST)
}

fn become_user_with(user: u32, pages: usize) -> Outcome {
    let most = Some((pages * PAGE) as u64);
    let limit = Rlimit {
        current: most,
        maximum: most,
    };
    process::setrlimit(Resource::Memlock, limit)?;
    let user = Uid::from_raw(user);
    Ok(thread::set_thread_res_uid(user, user, user)?)
}

/// A buffer of that many pages.
fn create(device: &Udmabuf, memfd: &Memfd, pages: usize) -> Result<DmaBuf, Errno> {
    device.create(memfd.range(0, pages * PAGE))
}

/// A step in a process of its own, in a process that may be none of root's.
fn in_second(what: &str, body: impl FnOnce() -> Outcome) -> Outcome {
    let child = Child::run(|| exit_code(what, body))?;
    equal(what, child.wait()?.exit_status(), Some(0))
}

/// How long the other one may take.
const PATIENCE: Limit = Limit::seconds(5);

/// Waits for a byte, but not for ever.
fn hear(pipe: &OwnedFd, patience: Duration) -> Outcome {
    check("the other one is heard", readable_within(pipe, patience)?)
}

fn memlock_as_documented() -> Outcome {
    let memlock = memlock()?;
    equal("memlock", memlock.get()?, "N".to_owned())?;
    equal("mode of memlock", memlock.mode()?, 0o644)
}

fn memlock_off_locks_nothing() -> Outcome {
    memlock()?;
    let (device, memfd) = (Udmabuf::open()?, Memfd::new(8 * PAGE)?);
    in_child("as a user", || {
        become_user(USER)?;
        create(&device, &memfd, MOST + 1)?;
        Ok(())
    })
}

fn memlock_up_to_the_limit() -> Outcome {
    let memlock = memlock()?;
    let _on = memlock.set("Y")?;
    let (device, memfd) = (Udmabuf::open()?, Memfd::new(8 * PAGE)?);
    in_child("as a user", || {
        become_user(USER)?;
        let more = create(&device, &memfd, MOST + 1);
        errno("one page more", more, Errno::NOMEM)?;
        let three = create(&device, &memfd, MOST - 1)?;
        errno("two more", create(&device, &memfd, 2), Errno::NOMEM)?;
        let items = [memfd.range(0, PAGE), memfd.range(PAGE, PAGE)];
        errno("a list", device.create_list(&items), Errno::NOMEM)?;
        let one = create(&device, &memfd, 1)?;
        drop(three);
        let again = create(&device, &memfd, MOST - 1)?;
        drop((one, again));
        create(&device, &memfd, MOST)?;
        Ok(())
    })
}

/// A second process gets what the first one has left.
fn memlock_of_all_processes() -> Outcome {
    let memlock = memlock()?;
    let _on = memlock.set("Y")?;
    let (device, memfd) = (Udmabuf::open()?, Memfd::new(8 * PAGE)?);
    in_child("the first", || {
        become_user(USER)?;
        let three = create(&device, &memfd, MOST - 1)?;
        in_second("the second", || {
            errno("two pages", create(&device, &memfd, 2), Errno::NOMEM)?;
            create(&device, &memfd, 1)?;
            Ok(())
        })?;
        // What the second one had inherited has not been given back with it.
        errno("two pages", create(&device, &memfd, 2), Errno::NOMEM)?;
        drop(three);
        create(&device, &memfd, MOST)?;
        Ok(())
    })
}

/// It fails when all its pages have been counted.
fn memlock_of_a_request_that_fails() -> Outcome {
    let memlock = memlock()?;
    let _on = memlock.set("Y")?;
    let (device, memfd) = (Udmabuf::open()?, Memfd::new(2 * PAGE)?);
    in_child("as a user", || {
        become_user(USER)?;
        for _ in 0..2 * MOST {
            let beyond = create(&device, &memfd, MOST);
            errno("beyond the end", beyond, Errno::INVAL)?;
        }
        create(&device, &memfd, 2)?;
        Ok(())
    })
}

fn memlock_of_another_user() -> Outcome {
    let memlock = memlock()?;
    let _on = memlock.set("Y")?;
    let (device, memfd) = (Udmabuf::open()?, Memfd::new(8 * PAGE)?);
    let (ready, tell) = pipe::pipe()?;
    let (go, release) = pipe::pipe()?;
    // No user may look how slow the kernel is.
    let patience = PATIENCE.here()?;
    let first = Child::run(|| {
        exit_code("one user", || {
            become_user(USER)?;
            let _all = create(&device, &memfd, MOST)?;
            errno("one more", create(&device, &memfd, 1), Errno::NOMEM)?;
            io::write(&tell, b"!")?;
            hear(&go, patience)
        })
    })?;
    hear(&ready, patience)?;
    in_child("another user", || {
        become_user(OTHER)?;
        create(&device, &memfd, MOST)?;
        Ok(())
    })?;
    io::write(&release, b"!")?;
    equal("one user", first.wait()?.exit_status(), Some(0))
}

fn memlock_of_root() -> Outcome {
    let memlock = memlock()?;
    let _on = memlock.set("Y")?;
    let (device, memfd) = (Udmabuf::open()?, Memfd::new(8 * PAGE)?);
    in_child("root", || {
        let none = Rlimit {
            current: Some(0),
            maximum: None,
        };
        process::setrlimit(Resource::Memlock, none)?;
        let eight = create(&device, &memfd, 8)?;
        // What is beyond any limit takes nothing from those who have one.
        in_second("root without the capability", || {
            lose_capabilities()?;
            errno("no limit", create(&device, &memfd, 1), Errno::NOMEM)
        })?;
        let some = Rlimit {
            current: Some((MOST * PAGE) as u64),
            maximum: None,
        };
        process::setrlimit(Resource::Memlock, some)?;
        in_second("root within a limit", || {
            lose_capabilities()?;
            create(&device, &memfd, MOST)?;
            errno("one more", create(&device, &memfd, MOST + 1), Errno::NOMEM)
        })?;
        drop(eight);
        Ok(())
    })
}

/// Root lives on as one who may do no more than anybody.
fn lose_capabilities() -> Outcome {
    let none = thread::CapabilitySets {
        effective: thread::CapabilitySet::empty(),
        permitted: thread::CapabilitySet::empty(),
        inheritable: thread::CapabilitySet::empty(),
    };
    Ok(thread::set_capabilities(None, none)?)
}

/// A buffer gives back what was counted for it, whatever the parameter says by then.
fn memlock_while_buffers_live() -> Outcome {
    let memlock = memlock()?;
    let _off = memlock.set("N")?;
    let parameter = File::options().write(true).open(memlock.path())?;
    let (device, memfd) = (Udmabuf::open()?, Memfd::new(8 * PAGE)?);
    in_child("as a user", || {
        become_user(USER)?;
        let uncounted = create(&device, &memfd, MOST)?;
        parameter.write_all_at(b"Y", 0)?;
        let counted = create(&device, &memfd, MOST)?;
        drop(uncounted);
        errno("one more", create(&device, &memfd, 1), Errno::NOMEM)?;
        parameter.write_all_at(b"N", 0)?;
        drop(counted);
        parameter.write_all_at(b"Y", 0)?;
        let all = create(&device, &memfd, MOST)?;
        errno("one more", create(&device, &memfd, 1), Errno::NOMEM)?;
        drop(all);
        Ok(())
    })
}

/// A page of a huge page pins all of it, and each pin counts.
fn memlock_of_huge_pages() -> Outcome {
    const ALL: usize = 2 * HUGE_PAGE / PAGE;
    let memlock = memlock()?;
    if hugepage::free()? < 2 {
        return skip("2 free huge pages");
    }
    let _on = memlock.set("Y")?;
    let device = Udmabuf::open()?;
    let memfd = Memfd::builder(2 * HUGE_PAGE)
        .backing(Backing::Huge)
        .create()?;
    let small = Memfd::new(PAGE)?;
    let items = [0, HUGE_PAGE].map(|at| memfd.range(at, PAGE));
    in_child("who may lock less", || {
        become_user_with(USER, ALL - 1)?;
        for _ in 0..2 {
            errno("a list", device.create_list(&items), Errno::NOMEM)?;
        }
        // What was refused does not count.
        device.create(items[0])?;
        Ok(())
    })?;
    in_child("who may lock as much", || {
        become_user_with(USER, ALL)?;
        for _ in 0..2 {
            let buffer = device.create_list(&items)?;
            errno("one page more", create(&device, &small, 1), Errno::NOMEM)?;
            drop(buffer);
        }
        create(&device, &small, 1)?;
        Ok(())
    })
}
