// SPDX-License-Identifier: GPL-2.0

//! Cameras, decoders and players: software writes frames that hardware shows.

use std::sync::Mutex;
use std::thread;

use rustix::fs::OFlags;

use selftests::Access;
use selftests::DmaBuf;
use selftests::Errno;
use selftests::Memfd;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Pattern;
use selftests::Udmabuf;
use selftests::Window;
use selftests::ktap::Test;
use selftests::outcome::equal;
use selftests::sys::fork::Child;
use selftests::tests;
use selftests::udmabuf::DEVICE;

pub const TESTS: &[Test] = tests![gstreamer, libcamera, libcamera_sync_by_four_threads, kodi];

/// One buffer per frame, kept mapped for its whole life; each access is a bracket.
fn gstreamer() -> Outcome {
    let device = Udmabuf::open_with(DEVICE, OFlags::RDONLY | OFlags::CLOEXEC)?;
    let size = (320usize * 240 * 3 / 2).next_multiple_of(PAGE);
    let frames: Vec<_> = (0..4)
        .map(|_| {
            let memfd = Memfd::new(size)?;
            let buffer = device.create(memfd.whole())?;
            // The memfd is closed as soon as the buffer is there.
            drop(memfd);
            let mapping = buffer.map(Access::ReadWrite)?;
            Ok((buffer, mapping))
        })
        .collect::<Result<_, Errno>>()?;
    drop(device);
    for round in 0..3 {
        for (number, (buffer, mapping)) in frames.iter().enumerate() {
            let picture = Pattern::new(10 * round + number as u64);
            let writing = buffer.begin(Access::Write)?;
            picture.write_to(mapping, 0, size);
            writing.end()?;
            let reading = buffer.begin(Access::Read)?;
            picture.check_in(mapping, 0, size)?;
            reading.end()?;
        }
    }
    Ok(())
}

/// A software image processor: it reads one buffer and writes the next, mapping them for each
/// frame, with brackets of every kind.
fn libcamera() -> Outcome {
    let device = Udmabuf::open_with(DEVICE, OFlags::RDONLY | OFlags::CLOEXEC)?;
    let size = 64 * PAGE;
    let buffer = || -> Result<DmaBuf, Errno> { device.create(Memfd::new(size)?.whole()) };
    let (input, output) = (buffer()?, buffer()?);
    for frame in 0..4 {
        let raw = Pattern::new(frame);
        let memory = input.map(Access::ReadWrite)?;
        let writing = input.begin(Access::ReadWrite)?;
        raw.write_to(&memory, 0, size);
        writing.end()?;

        let (from, to) = (input.map(Access::Read)?, output.map(Access::ReadWrite)?);
        let reading = input.begin(Access::Read)?;
        let writing = output.begin(Access::Write)?;
        let mut line = vec![0; PAGE];
        for at in (0..size).step_by(PAGE) {
            from.read(at, &mut line);
            to.write(at, &line);
        }
        writing.end()?;
        reading.end()?;

        let reading = output.begin(Access::Read)?;
        raw.check_in(&to, 0, size)?;
        reading.end()?;
    }
    Ok(())
}

/// The processor works in stripes: four threads bracket the same buffers at the same time.
fn libcamera_sync_by_four_threads() -> Outcome {
    let device = Udmabuf::open_with(DEVICE, OFlags::RDONLY | OFlags::CLOEXEC)?;
    let size = 64 * PAGE;
    let buffer = device.create(Memfd::new(size)?.whole())?;
    let memory = buffer.map(Access::ReadWrite)?;
    let picture = Pattern::new(20);
    let failures = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for stripe in 0..4 {
            let (buffer, memory, failures) = (&buffer, &memory, &failures);
            let work = move || -> Outcome {
                let (at, len) = (stripe * size / 4, size / 4);
                for round in 0..100 {
                    let writing = buffer.begin(Access::ALL[1 + round % 2])?;
                    picture.write_to(memory, at, len);
                    writing.end()?;
                    let reading = buffer.begin(Access::Read)?;
                    picture.check_in(memory, at, len)?;
                    reading.end()?;
                }
                Ok(())
            };
            scope.spawn(move || {
                if let Err(stop) = work() {
                    failures.lock().expect("nobody panics").push(stop);
                }
            });
        }
    });
    match failures
        .into_inner()
        .expect("nobody panics")
        .into_iter()
        .next()
    {
        Some(stop) => Err(stop),
        None => Window { at: 0, len: size }.cpu_sees(&buffer, &memory, picture),
    }
}

/// No flags, so the descriptor stays open in programs that the player starts; another process
/// shows the frame.
fn kodi() -> Outcome {
    let device = Udmabuf::open_with(DEVICE, OFlags::RDWR)?;
    let memfd = Memfd::new(16 * PAGE)?;
    let buffer = device.create_with(memfd.whole(), 0)?;
    let memory = buffer.map(Access::ReadWrite)?;
    let frame = Pattern::new(21);
    let writing = buffer.begin(Access::ReadWrite)?;
    frame.write_to(&memory, 0, 16 * PAGE);
    writing.end()?;
    let display = Child::run(|| {
        let show = || -> Outcome {
            let memory = buffer.map(Access::Read)?;
            let reading = buffer.begin(Access::Read)?;
            frame.check_in(&memory, 0, 16 * PAGE)?;
            reading.end()?;
            Ok(())
        };
        i32::from(show().is_err())
    })?;
    equal(
        "exit code of the display",
        display.wait()?.exit_status(),
        Some(0),
    )
}
