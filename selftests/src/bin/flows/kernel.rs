// SPDX-License-Identifier: GPL-2.0

//! The kernel itself as a user of the buffer's memory, by vmap.

use selftests::Access;
use selftests::Errno;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Pattern;
use selftests::Window;
use selftests::importer::Direction;
use selftests::outcome::check;
use selftests::outcome::skip;
use selftests::pattern::Mismatch;
use selftests::v4l2::Camera;
use selftests::v4l2::Format;

use crate::flow::Flow;
use crate::stage::Stage;

pub const FLOWS: &[Flow] = &[
    Flow {
        name: "vmap",
        title: "kernel and device in turns",
        controls: &["no-sync-at-begin", "no-sync-at-end"],
        heap: true,
        refuses: false,
        run: vmap,
    },
    Flow {
        name: "camera",
        title: "camera frames (vivid) -> device read",
        controls: &["no-sync-at-end"],
        heap: false,
        refuses: false,
        run: camera,
    },
];

/// The importer module does what a driver should: it brackets its access.
fn vmap(stage: &Stage) -> Outcome {
    let edu = stage.edu(0)?;
    let pages = stage.pages(2)?;
    let buffer = pages.buffer()?;
    let attachment = edu.attach(&buffer.dma_buf)?;
    let mapping = attachment.map(Direction::Bidirectional)?;
    let window = Window {
        at: PAGE - 99,
        len: 2000,
    };
    let (ours, theirs) = (Pattern::new(1), Pattern::new(2));
    edu.vmap_write(&buffer.dma_buf, 0, &ours.bytes(0, 2 * PAGE))?;
    window.device_sees(&mapping, ours)?;
    window.device_writes(&mapping, theirs)?;
    let mut bytes = vec![0; window.len];
    edu.vmap_read(&buffer.dma_buf, window.at, &mut bytes)?;
    theirs.check(window.at, &bytes)?;
    Ok(())
}

/// How many bars there are in the picture, of different colours.
const BARS: usize = 8;

/// The camera writes through a kernel mapping and does not bracket: its user does, from before
/// the buffers are queued until they are back. The device reads first: the end of a bracket in which
/// the CPU reads hands over too.
fn camera(stage: &Stage) -> Outcome {
    const FRAMES: usize = 2;
    let edu = stage.edu(0)?;
    let camera = match Camera::open("vid-cap", Format::Yuyv, 320, 180) {
        Err(Errno::NODEV) => return skip("vivid's capture device: CONFIG_VIDEO_VIVID"),
        camera => camera?,
    };
    let size = camera.size().next_multiple_of(PAGE);
    let pages = stage.pages(FRAMES * size / PAGE)?;
    let frame = |number| {
        pages.part(Window {
            at: number * size,
            len: size,
        })
    };
    let frames = [frame(0)?, frame(1)?];
    let attachments = [
        edu.attach(&frames[0].dma_buf)?,
        edu.attach(&frames[1].dma_buf)?,
    ];
    let mappings = [
        attachments[0].map(Direction::ToDevice)?,
        attachments[1].map(Direction::ToDevice)?,
    ];

    let writing = [
        frames[0].dma_buf.begin(Access::Write)?,
        frames[1].dma_buf.begin(Access::Write)?,
    ];
    camera.capture(&[&frames[0].dma_buf, &frames[1].dma_buf])?;
    for bracket in writing {
        bracket.end()?;
    }

    let row = camera.row();
    let middle = camera.size() / row / 2 * row;
    for (frame, mapping) in frames.iter().zip(&mappings) {
        let mut seen = vec![0; camera.size()];
        mapping.device_reads(0, &mut seen)?;
        let mut picture = vec![0; camera.size()];
        let reading = frame.dma_buf.begin(Access::Read)?;
        frame.memory.read(0, &mut picture);
        reading.end()?;
        let colours = colours(&picture[middle..middle + row]);
        check(
            format_args!("{colours} colours in a row of {BARS} bars"),
            colours >= BARS,
        )?;
        Mismatch::first(0, &seen, &picture)?;
    }
    Ok(())
}

/// How many different pixels there are, by their first two bytes.
fn colours(row: &[u8]) -> usize {
    let (pixels, _) = row.as_chunks::<2>();
    let mut pixels = pixels.to_vec();
    pixels.sort_unstable();
    pixels.dedup();
    pixels.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_counted_once() {
        assert_eq!(colours(&[1, 2, 1, 2, 2, 1, 0, 0]), 3);
        assert_eq!(colours(&[7; 640]), 1);
    }
}
