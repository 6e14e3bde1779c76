// SPDX-License-Identifier: GPL-2.0

//! One buffer, several descriptors and processes.

use std::env;
use std::fs;
use std::io::IoSlice;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::fd::OwnedFd;
use std::process::Command;

use rustix::net;
use rustix::net::AddressFamily;
use rustix::net::RecvAncillaryBuffer;
use rustix::net::RecvAncillaryMessage;
use rustix::net::RecvFlags;
use rustix::net::SendAncillaryBuffer;
use rustix::net::SendAncillaryMessage;
use rustix::net::SendFlags;
use rustix::net::SocketFlags;
use rustix::net::SocketType;
use rustix::pipe;

use selftests::Access;
use selftests::Backing;
use selftests::DmaBuf;
use selftests::Errno;
use selftests::HUGE_PAGE;
use selftests::Ledger;
use selftests::Memfd;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Pattern;
use selftests::Udmabuf;
use selftests::abi;
use selftests::hugepage;
use selftests::ktap::Test;
use selftests::outcome::check;
use selftests::outcome::equal;
use selftests::outcome::skip;
use selftests::sys::fork::Child;
use selftests::tests;

pub const TESTS: &[Test] = tests![
    duplicated,
    forked,
    forked_huge_pages,
    child_outlives_parent,
    child_killed,
    sent_over_a_socket,
    sent_and_never_received,
    exec,
];

fn two_pages() -> Result<DmaBuf, Errno> {
    Udmabuf::open()?.create(Memfd::new(2 * PAGE)?.whole())
}

fn duplicated() -> Outcome {
    let before = Ledger::now()?;
    let first = two_pages()?;
    let second = first.duplicate()?;
    first.set_name(c"shared")?;
    drop(first);
    equal("name", second.name()?, "shared".to_owned())?;
    equal("size", second.size()?, 2 * PAGE)?;
    let mapping = second.map(Access::ReadWrite)?;
    second.begin(Access::ReadWrite)?.end()?;
    drop(second);
    equal("byte", mapping.touch(PAGE), 0)?;
    drop(mapping);
    equal("at the end", Ledger::now()?, before)
}

/// A child sees what the parent writes and the other way round, through the mapping that it got
/// and through one of its own.
fn forked_of(backing: Backing, size: usize) -> Outcome {
    let memfd = Memfd::builder(size).backing(backing).create()?;
    let buffer = Udmabuf::open()?.create(memfd.whole())?;
    let mapping = buffer.map_aligned(Access::ReadWrite)?;
    let (ours, theirs) = (Pattern::new(10), Pattern::new(11));
    ours.write_to(&mapping, 0, size);
    let child = Child::run(|| {
        let seen = ours.check_in(&mapping, 0, size).is_ok();
        let own = buffer.map(Access::ReadWrite);
        let seen_by_own = own.is_ok_and(|own| ours.check_in(&own, 0, size).is_ok());
        theirs.write_to(&mapping, 0, size);
        i32::from(!seen) + 2 * i32::from(!seen_by_own)
    })?;
    equal(
        "exit code of the child",
        child.wait()?.exit_status(),
        Some(0),
    )?;
    theirs.check_in(&mapping, 0, size)?;
    Ok(())
}

fn forked() -> Outcome {
    forked_of(Backing::Base, 40 * PAGE)
}

fn forked_huge_pages() -> Outcome {
    if hugepage::free()? == 0 {
        return skip("a free huge page");
    }
    forked_of(Backing::Huge, HUGE_PAGE)
}

/// The parent closes everything; the child's copies keep the buffer.
fn child_outlives_parent() -> Outcome {
    let before = Ledger::now()?;
    let buffer = two_pages()?;
    let mapping = buffer.map(Access::ReadWrite)?;
    let (reader, writer) = pipe::pipe()?;
    let child = Child::run(|| {
        // Waits for the parent's word.
        let word = rustix::io::read(&reader, &mut [0; 1]);
        i32::from(word != Ok(1) || mapping.touch(PAGE) != 0 || buffer.size() != Ok(2 * PAGE))
    })?;
    drop((buffer, mapping));
    check("pages pinned", Ledger::now()?.pinned > before.pinned)?;
    rustix::io::write(&writer, &[0])?;
    equal(
        "exit code of the child",
        child.wait()?.exit_status(),
        Some(0),
    )?;
    drop((reader, writer));
    equal("at the end", Ledger::now()?, before)
}

/// A child that is killed closes nothing by itself, in or out of brackets.
fn child_killed() -> Outcome {
    let before = Ledger::now()?;
    let (reader, writer) = pipe::pipe()?;
    let child = Child::run(|| {
        let busy = || -> Outcome {
            let buffers: Vec<DmaBuf> = (0..10).map(|_| two_pages()).collect::<Result<_, _>>()?;
            let mapping = buffers[3].map(Access::ReadWrite)?;
            mapping.touch(0);
            let _bracket = buffers[4].begin(Access::ReadWrite)?;
            rustix::io::write(&writer, &[0])?;
            // Until it is killed.
            loop {
                std::thread::park();
            }
        };
        i32::from(busy().is_err())
    })?;
    rustix::io::read(&reader, &mut [0; 1])?;
    check("pages pinned", Ledger::now()?.pinned > before.pinned)?;
    equal("signal", child.kill()?.terminating_signal(), Some(9))?;
    drop((reader, writer));
    equal("at the end", Ledger::now()?, before)
}

fn send(socket: &OwnedFd, buffer: &DmaBuf) -> Result<(), Errno> {
    let fds = [buffer.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&fds));
    net::sendmsg(
        socket,
        &[IoSlice::new(&[0])],
        &mut control,
        SendFlags::empty(),
    )
    .map(drop)
}

fn receive(socket: &OwnedFd) -> Outcome<DmaBuf> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    net::recvmsg(
        socket,
        &mut [IoSliceMut::new(&mut byte)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    let fd = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    match fd {
        Some(fd) => Ok(DmaBuf::from(fd)),
        None => selftests::outcome::fail("no descriptor came"),
    }
}

fn socket_pair() -> Result<(OwnedFd, OwnedFd), Errno> {
    net::socketpair(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )
}

/// To another process, and back.
fn sent_over_a_socket() -> Outcome {
    let before = Ledger::now()?;
    let (ours, theirs) = socket_pair()?;
    let child = Child::run(|| {
        let answer = || -> Outcome {
            let buffer = receive(&theirs)?;
            equal("size", buffer.size()?, 2 * PAGE)?;
            Pattern::new(12).write_to(&buffer.map(Access::ReadWrite)?, 0, 2 * PAGE);
            send(&theirs, &buffer)?;
            Ok(())
        };
        i32::from(answer().is_err())
    })?;
    // Nobody but the message holds the buffer on its way.
    send(&ours, &two_pages()?)?;
    equal(
        "exit code of the child",
        child.wait()?.exit_status(),
        Some(0),
    )?;
    let buffer = receive(&ours)?;
    Pattern::new(12).check_in(&buffer.map(Access::Read)?, 0, 2 * PAGE)?;
    drop((buffer, ours, theirs));
    equal("at the end", Ledger::now()?, before)
}

fn sent_and_never_received() -> Outcome {
    let before = Ledger::now()?;
    let (ours, theirs) = socket_pair()?;
    send(&ours, &two_pages()?)?;
    check("pages pinned", Ledger::now()?.pinned > before.pinned)?;
    drop((ours, theirs));
    equal("at the end", Ledger::now()?, before)
}

/// Tells this test that it runs in the program that was started, and which descriptors to expect.
const INHERITED: &str = "SELFTESTS_INHERITED";

/// A new program gets the buffer whose flags say so, and only that.
fn exec() -> Outcome {
    if let Ok(numbers) = env::var(INHERITED) {
        let exporter = |number: &str| fs::read_to_string(format!("/proc/self/fdinfo/{number}"));
        let Some((kept, closed)) = numbers.split_once(' ') else {
            return selftests::outcome::fail(format!("{INHERITED}={numbers}"));
        };
        check("kept", exporter(kept)?.contains("exp_name:\tudmabuf\n"))?;
        return check("closed", exporter(closed).is_err());
    }
    let device = Udmabuf::open()?;
    let memfd = Memfd::new(PAGE)?;
    let kept = device.create_with(memfd.whole(), 0)?;
    let closed = device.create_with(memfd.whole(), abi::UDMABUF_FLAGS_CLOEXEC)?;
    let numbers = format!(
        "{} {}",
        kept.as_fd().as_raw_fd(),
        closed.as_fd().as_raw_fd()
    );
    let status = Command::new(env::current_exe()?)
        .args(["--only", "exec"])
        .env(INHERITED, numbers)
        .status()?;
    check("the new program is content", status.success())
}
