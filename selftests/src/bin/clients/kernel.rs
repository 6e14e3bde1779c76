// SPDX-License-Identifier: GPL-2.0

//! Tests and tools of the kernel tree that use udmabuf to test something else.

use rustix::fs::OFlags;
use rustix::fs::SealFlags;

use selftests::Access;
use selftests::Backing;
use selftests::Errno;
use selftests::HUGE_PAGE;
use selftests::Memfd;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Pattern;
use selftests::Udmabuf;
use selftests::bufinfo;
use selftests::hugepage;
use selftests::ktap::Test;
use selftests::outcome::check;
use selftests::outcome::equal;
use selftests::outcome::errno;
use selftests::outcome::skip;
use selftests::tests;
use selftests::udmabuf::DEVICE;

pub const TESTS: &[Test] = tests![ncdevmem, bpf_dmabuf_iter, bpf_dmabuf_iter_name_too_long];

/// Network buffers in device memory: a huge page that is filled and read back in brackets.
fn ncdevmem() -> Outcome {
    if hugepage::free()? < 8 {
        return skip("8 free huge pages");
    }
    let device = Udmabuf::open_with(DEVICE, OFlags::RDWR)?;
    let size = 8 * HUGE_PAGE;
    let memfd = Memfd::builder(size)
        .backing(Backing::Huge)
        .seals(SealFlags::SHRINK)
        .create()?;
    let buffer = device.create(memfd.whole())?;
    let memory = buffer.map(Access::ReadWrite)?;
    let sent = Pattern::new(60);
    // As the payload comes, in pieces of any length.
    let (mut at, mut len) = (0, 1);
    while at < size {
        len = (len * 7 + 13) % 60_000 + 1;
        let piece = len.min(size - at);
        let writing = buffer.begin(Access::Write)?;
        sent.write_to(&memory, at, piece);
        writing.end()?;
        at += piece;
    }
    let reading = buffer.begin(Access::Read)?;
    sent.check_in(&memory, 0, size)?;
    reading.end()?;
    Ok(())
}

/// Looks for its buffer in the kernel's table, by size, exporter and name.
fn bpf_dmabuf_iter() -> Outcome {
    let device = Udmabuf::open_with(DEVICE, OFlags::RDONLY)?;
    let memfd = Memfd::new(10 << 20)?;
    let buffer = device.create(memfd.whole())?;
    buffer.set_name(c"udmabuf_of_a_selftest")?;
    equal("name", buffer.name()?, "udmabuf_of_a_selftest".to_owned())?;
    equal("exporter", buffer.exporter()?, "udmabuf".to_owned())?;
    let table = bufinfo::read()?;
    let row = table
        .lines()
        .find(|row| row.ends_with("\tudmabuf_of_a_selftest"));
    let fields: Vec<&str> = row.unwrap_or("").split('\t').map(str::trim).collect();
    check("the table has the buffer", fields.len() == 7)?;
    equal("size in the table", fields[0], "10485760")?;
    equal("exporter in the table", fields[4], "udmabuf")
}

fn bpf_dmabuf_iter_name_too_long() -> Outcome {
    let buffer = Udmabuf::open()?.create(Memfd::new(PAGE)?.whole())?;
    buffer.set_name(c"1234567890123456789012345678901")?;
    errno(
        "32 bytes",
        buffer.set_name(c"12345678901234567890123456789012"),
        Errno::INVAL,
    )
}
