// SPDX-License-Identifier: GPL-2.0

//! What is or should be on a screen.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use image::{ImageFormat, ImageReader, RgbImage};

/// Pixels, row by row.
#[derive(Clone, PartialEq, Eq)]
pub struct Picture(RgbImage);

impl Picture {
    /// Reads a PNG file.
    pub fn read(file: &Path) -> Result<Self> {
        let mut reader = ImageReader::open(file).context("no picture")?;
        reader.set_format(ImageFormat::Png);
        let image = reader.decode().context("the file is no picture")?;
        Ok(Picture(image.into_rgb8()))
    }

    /// A picture of pixels in memory: blue, green, red, and a byte that means nothing.
    pub fn from_bgrx(width: u32, height: u32, bytes: &[u8]) -> Result<Self> {
        let (pixels, rest) = bytes.as_chunks::<4>();
        let wanted = width as usize * height as usize;
        ensure!(
            rest.is_empty() && pixels.len() == wanted,
            "{} bytes are not {wanted} pixels",
            bytes.len()
        );
        let pixels = pixels.iter();
        let bytes = pixels.flat_map(|[blue, green, red, _]| [*red, *green, *blue]);
        let image = RgbImage::from_raw(width, height, bytes.collect());
        Ok(Picture(image.context("not as many pixels")?))
    }

    /// How many colours there are.
    pub fn colours(&self) -> usize {
        let mut colours: Vec<_> = self.0.pixels().map(|pixel| pixel.0).collect();
        colours.sort_unstable();
        colours.dedup();
        colours.len()
    }

    /// How many pixels there are.
    pub fn pixels(&self) -> usize {
        self.0.pixels().len()
    }

    /// Makes one pixel wrong.
    pub fn spoil(&mut self, pixel: usize) {
        let width = self.0.width() as usize;
        let (x, y) = (pixel % width, pixel / width);
        self.0.get_pixel_mut(x as u32, y as u32).0[1] ^= 1;
    }

    /// How many pixels differ.
    pub fn differences(&self, other: &Picture) -> Result<usize> {
        if self.0.dimensions() != other.0.dimensions() {
            let sizes = (self.0.dimensions(), other.0.dimensions());
            bail!("the pictures have different sizes: {sizes:?}");
        }
        let pairs = self.0.pixels().zip(other.0.pixels());
        Ok(pairs.filter(|(pixel, other)| pixel != other).count())
    }

    /// Keeps it as a PNG file.
    pub fn save(&self, file: &Path) -> Result<()> {
        let saved = self.0.save_with_format(file, ImageFormat::Png);
        saved.with_context(|| format!("cannot write {}", file.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture() -> Picture {
        let bytes: Vec<u8> = (0..=255).collect();
        Picture::from_bgrx(8, 8, &bytes).unwrap()
    }

    #[test]
    fn one_pixel_makes_a_difference() {
        let mut spoilt = picture();
        assert_eq!(spoilt.differences(&picture()).unwrap(), 0);
        spoilt.spoil(63);
        assert_eq!(spoilt.differences(&picture()).unwrap(), 1);
        assert_eq!(picture().colours(), 64);
    }

    #[test]
    fn pictures_of_other_sizes_are_not_compared() {
        let other = Picture::from_bgrx(4, 16, &[0; 256]).unwrap();
        assert!(other.differences(&picture()).is_err());
        assert!(Picture::from_bgrx(8, 8, &[0; 255]).is_err());
        assert!(Picture::from_bgrx(8, 8, &[0; 252]).is_err());
        assert!(Picture::from_bgrx(8, 8, &[0; 260]).is_err());
    }
}
