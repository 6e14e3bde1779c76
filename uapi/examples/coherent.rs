// SPDX-License-Identifier: GPL-2.0

//! Shares a page with the test importer's device, without brackets where that is possible.
//! Runs in a guest that has the device: `cargo run -p selftests --example coherent` builds it.

use std::process::ExitCode;

use rustix::io::Result;
use selftests::Access;
use selftests::DmaBuf;
use selftests::Errno;
use selftests::Mapping;
use selftests::Memfd;
use selftests::Mode;
use selftests::PAGE;
use selftests::Udmabuf;
use selftests::abi;
use selftests::fallback;
use selftests::fallback::Instead;
use selftests::importer::Direction;
use selftests::importer::Edu;

fn main() -> ExitCode {
    match share(b"coherent") {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn share(text: &[u8]) -> Result<()> {
    let (device, edu) = (Udmabuf::open()?, Edu::open(0)?);
    let memfd = Memfd::new(PAGE)?;
    let import = |buffer: &DmaBuf| edu.attach(buffer);
    // Refused, it makes a buffer in DMA_API mode.
    let shared = fallback::share(
        &device,
        Mode::CpuCoherent,
        &[memfd.whole()],
        Instead::Brackets,
        import,
    )?;
    let memory = memfd.map()?;
    let mapping = shared.used.map(Direction::ToDevice)?;
    let brackets = write(&device, &shared.buffer, &memory, text)?;

    let mut seen = vec![0; text.len()];
    mapping.device_reads(0, &mut seen)?;
    if seen != text {
        return Err(Errno::IO);
    }
    let how = if brackets { "in" } else { "without" };
    println!("{} bytes for the importer, {how} brackets", seen.len());
    Ok(())
}

/// Writes in a bracket where that does anything; returns whether it does.
fn write(device: &Udmabuf, buffer: &DmaBuf, memory: &Mapping, text: &[u8]) -> Result<bool> {
    let state = device.query(buffer)?.state;
    let brackets = state & abi::UDMABUF_STATE_MAY_SYNC != 0;
    match brackets {
        true => device.start_range(buffer, Access::Write, 0..text.len())?,
        false => buffer.wait_for_fences(Access::Write)?,
    }
    memory.write(0, text);
    if brackets {
        device.finish_range(buffer, Access::Write, 0..text.len())?;
    }
    Ok(brackets)
}
