// SPDX-License-Identifier: GPL-2.0

//! From the inner guest's camera to its screen, through one buffer.

use anyhow::{Result, bail, ensure};
use virtio_gpu::{Gpu, Request};

use super::SMALL;
use crate::{screen::Screen, stage::Stage};

/// The colour bars from left to right; a bit is set where red, green or blue is on.
const BARS: [u32; 8] = [0b111, 0b110, 0b011, 0b010, 0b101, 0b100, 0b001, 0b000];

/// A channel is on above the one and off below the other; the bars are at 75%.
const ON: u32 = 0xa0;
const OFF: u32 = 0x20;

/// The camera's text is in the upper part of the picture, so bars are looked at from here on.
const CLEAR: u32 = SMALL.height / 2;

/// The screen shows what was captured, as the inner guest's CPU reads it, and that is colour bars.
pub fn to_screen(stage: &mut Stage) -> Result<String> {
    stage.ask(&Request::Capture(SMALL))?;
    stage.framebuffer(SMALL)?;
    let screen = stage.screen(Gpu::Blob)?;
    stage.keep(&screen, "camera")?;
    ensure!(screen.size() == SMALL, "the screen is {}", screen.size());
    let captured = stage.seen_by_guest(SMALL)?;
    if let Some(wrong) = screen.compare(|x, y| captured.pixel(x, y)) {
        bail!("{wrong}, which the inner guest sees");
    }
    bars(&screen)?;
    Ok(format!(
        "0 of {} pixels wrong, {} colour bars",
        SMALL.pixels(),
        BARS.len()
    ))
}

/// Every bar is where it belongs, of one colour and of the right one.
fn bars(screen: &Screen) -> Result<()> {
    let width = SMALL.width / BARS.len() as u32;
    for (number, expected) in (0..).zip(BARS) {
        let left = number * width;
        let colour = screen.pixel(left + width / 2, CLEAR);
        let channels = [16, 8, 0].map(|shift| colour >> shift & 0xff);
        for (bit, channel) in [2, 1, 0].into_iter().zip(channels) {
            let right = match expected >> bit & 1 {
                1 => channel > ON,
                _ => channel < OFF,
            };
            ensure!(right, "bar {number} has the colour {colour:06x}");
        }
        for y in CLEAR..SMALL.height {
            for x in left..left + width {
                let found = screen.pixel(x, y);
                ensure!(
                    found == colour,
                    "bar {number} is {colour:06x}, but {found:06x} at ({x}, {y})"
                );
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn screen(wrong: Option<usize>) -> Screen {
        let width = SMALL.width as usize / BARS.len();
        let channel = |bar: u32, bit: u32| if bar >> bit & 1 == 1 { 0xbf } else { 0 };
        let pixel = |bar| [channel(bar, 0), channel(bar, 1), channel(bar, 2), 0];
        let places = 0..SMALL.pixels();
        let mut bytes: Vec<u8> = places
            .flat_map(|place| pixel(BARS[place % SMALL.width as usize / width]))
            .collect();
        if let Some(place) = wrong {
            bytes[place * 4] ^= 0xff;
        }
        Screen::from_memory(SMALL, &bytes).unwrap()
    }

    #[test]
    fn one_pixel_spoils_a_bar_where_there_is_no_text() {
        assert!(bars(&screen(None)).is_ok());
        assert!(bars(&screen(Some(0))).is_ok());
        assert!(bars(&screen(Some(SMALL.pixels() - 1))).is_err());
        assert!(bars(&screen(Some(SMALL.pixels() / 2))).is_err());
    }
}
