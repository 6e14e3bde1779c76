// SPDX-License-Identifier: GPL-2.0

//! What a screen shows.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use image::{ImageFormat, ImageReader, Rgb, RgbImage};
use virtio_gpu::{BYTES_PER_PIXEL, Picture, Size};

/// A screen as QEMU dumped it.
pub struct Screen(RgbImage);

/// Pixels that are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// How many.
    pub count: usize,
    /// The place (x, y) of the first.
    pub first: (u32, u32),
    /// What is there, as 0xRRGGBB.
    pub found: u32,
    /// What should be.
    pub expected: u32,
}

impl std::fmt::Display for Wrong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (x, y) = self.first;
        write!(
            f,
            "{} pixels are wrong, the first at ({x}, {y}): {:06x} instead of {:06x}",
            self.count, self.found, self.expected
        )
    }
}

impl Screen {
    /// Reads a dump.
    pub fn read(dump: &Path) -> Result<Self> {
        let mut reader = ImageReader::open(dump).context("no dump of the screen")?;
        reader.set_format(ImageFormat::Pnm);
        let image = reader.decode().context("the dump is no picture")?;
        Ok(Screen(image.into_rgb8()))
    }

    /// A screen with these pixels, row by row as they are in a framebuffer.
    pub fn from_memory(size: Size, bytes: &[u8]) -> Result<Self> {
        let (pixels, _) = bytes.as_chunks::<BYTES_PER_PIXEL>();
        ensure!(
            pixels.len() == size.pixels(),
            "not as many pixels as {size}"
        );
        let bytes = pixels
            .iter()
            .flat_map(|[blue, green, red, _]| [*red, *green, *blue]);
        let image = RgbImage::from_raw(size.width, size.height, bytes.collect());
        Ok(Screen(image.context("not as many pixels")?))
    }

    /// Width and height.
    pub fn size(&self) -> Size {
        let (width, height) = self.0.dimensions();
        Size { width, height }
    }

    /// The colour of a pixel, as 0xRRGGBB.
    pub fn pixel(&self, x: u32, y: u32) -> u32 {
        let Rgb([red, green, blue]) = *self.0.get_pixel(x, y);
        u32::from_be_bytes([0, red, green, blue])
    }

    /// The pixels that differ from what a function says; none if there are none.
    pub fn compare(&self, expected: impl Fn(u32, u32) -> u32) -> Option<Wrong> {
        let mut wrong: Option<Wrong> = None;
        for (x, y, Rgb([red, green, blue])) in self.0.enumerate_pixels() {
            let found = u32::from_be_bytes([0, *red, *green, *blue]);
            let expected = expected(x, y);
            if found != expected {
                let first = Wrong {
                    count: 0,
                    first: (x, y),
                    found,
                    expected,
                };
                wrong.get_or_insert(first).count += 1;
            }
        }
        wrong
    }

    /// The pixels that differ from a picture.
    ///
    /// # Errors
    ///
    /// When it is a picture of another size.
    pub fn compare_with(&self, picture: &Picture) -> Result<Option<Wrong>> {
        let (ours, theirs) = (self.size(), picture.size());
        ensure!(ours == theirs, "the screen is {ours} instead of {theirs}");
        Ok(self.compare(|x, y| picture.pixel(x, y)))
    }

    /// Keeps it as a PNG file.
    pub fn save(&self, to: &Path) -> Result<()> {
        let saved = self.0.save_with_format(to, ImageFormat::Png);
        saved.with_context(|| format!("cannot write {}", to.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size {
        width: 64,
        height: 48,
    };

    fn drawn(picture: &Picture) -> Vec<u8> {
        let size = picture.size();
        let rows = 0..size.height;
        rows.flat_map(|y| picture.bytes(y, 0..size.width)).collect()
    }

    #[test]
    fn a_picture_is_itself_and_one_pixel_makes_a_difference() {
        let picture = Picture::new(SIZE, 9);
        let mut memory = drawn(&picture);
        let screen = Screen::from_memory(SIZE, &memory).unwrap();
        assert_eq!(screen.compare_with(&picture).unwrap(), None);
        memory[(5 * 64 + 7) * BYTES_PER_PIXEL] ^= 0x80;
        let screen = Screen::from_memory(SIZE, &memory).unwrap();
        let wrong = screen.compare_with(&picture).unwrap().unwrap();
        assert_eq!((wrong.count, wrong.first), (1, (7, 5)));
        assert_eq!(wrong.found ^ wrong.expected, 0x80);
    }

    #[test]
    fn a_screen_of_another_size_is_an_error() {
        let picture = Picture::new(SIZE, 9);
        let screen = Screen::from_memory(SIZE, &drawn(&picture)).unwrap();
        let other = Size {
            width: 48,
            height: 64,
        };
        assert!(screen.compare_with(&Picture::new(other, 9)).is_err());
        assert!(Screen::from_memory(other, &[0; 7]).is_err());
    }

    #[test]
    fn what_was_dumped_is_what_is_read() {
        let picture = Picture::new(SIZE, 3);
        let mut dump = format!("P6\n{} {}\n255\n", SIZE.width, SIZE.height).into_bytes();
        for place in 0..SIZE.pixels() as u32 {
            let pixel = picture.pixel(place % SIZE.width, place / SIZE.width);
            dump.extend(&pixel.to_be_bytes()[1..]);
        }
        let file = std::env::temp_dir().join(format!("dump-{}.ppm", std::process::id()));
        std::fs::write(&file, dump).unwrap();
        let screen = Screen::read(&file);
        std::fs::remove_file(&file).unwrap();
        assert_eq!(screen.unwrap().compare_with(&picture).unwrap(), None);
    }
}
