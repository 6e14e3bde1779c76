// SPDX-License-Identifier: GPL-2.0

//! Toolkits and software renderers.

use rustix::fs::OFlags;

use selftests::Access;
use selftests::DmaBuf;
use selftests::Mapping;
use selftests::Memfd;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Pattern;
use selftests::Udmabuf;
use selftests::ktap::Test;
use selftests::outcome::equal;
use selftests::tests;
use selftests::udmabuf::DEVICE;

pub const TESTS: &[Test] = tests![lavapipe, lavapipe_import, gtk];

/// Device memory of a software renderer: drawn into through the memfd, never bracketed, exported
/// as a dma-buf.
fn lavapipe() -> Outcome {
    let memfd = Memfd::new(40 * PAGE)?;
    let drawing = memfd.map()?;
    let buffer = Udmabuf::open()?.create(memfd.whole())?;
    let picture = Pattern::new(30);
    picture.write_to(&drawing, 0, 40 * PAGE);
    picture.check_in(&buffer.map(Access::Read)?, 0, 40 * PAGE)?;
    Ok(())
}

/// The other side: somebody else's buffer is sized by seeking, and mapped for both.
fn lavapipe_import() -> Outcome {
    let exported: DmaBuf = Udmabuf::open()?.create(Memfd::new(40 * PAGE)?.whole())?;
    let size = exported.size()?;
    equal("size", size, 40 * PAGE)?;
    let memory = Mapping::shared(&exported, 0, size, Access::ReadWrite)?;
    let picture = Pattern::new(31);
    picture.write_to(&memory, 0, size);
    picture.check_in(&exported.map(Access::Read)?, 0, size)?;
    Ok(())
}

/// Textures of the test suite: one memfd per plane, each with its own buffer, the memfd's mapping
/// filled before the buffer is made.
fn gtk() -> Outcome {
    let device = Udmabuf::open_with(DEVICE, OFlags::RDWR)?;
    let planes = [(32, 24 * PAGE), (33, 6 * PAGE), (34, 6 * PAGE)];
    let mut textures = Vec::new();
    for (seed, size) in planes {
        let memfd = Memfd::new(size)?;
        Pattern::new(seed).write_to(&memfd.map()?, 0, size);
        textures.push((seed, size, device.create(memfd.whole())?));
    }
    for (seed, size, texture) in textures {
        let reading = texture.begin(Access::Read)?;
        Pattern::new(seed).check_in(&texture.map(Access::Read)?, 0, size)?;
        reading.end()?;
    }
    Ok(())
}
