// SPDX-License-Identifier: GPL-2.0

//! What a screen has to show: pictures in which every pixel tells where it belongs.

use serde::{Deserialize, Serialize};

/// Bytes of a pixel in memory: blue, green, red, and one that nobody looks at (DRM's XRGB8888).
pub const BYTES_PER_PIXEL: usize = 4;

/// Width and height, in pixels; less than 4,096 each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// Pixels of a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl Size {
    /// The number of pixels.
    pub fn pixels(self) -> usize {
        self.width as usize * self.height as usize
    }

    /// The bytes of a framebuffer without gaps between its rows.
    pub fn bytes(self) -> usize {
        self.pixels() * BYTES_PER_PIXEL
    }

    /// All of it.
    pub fn whole(self) -> Rectangle {
        Rectangle {
            x: 0,
            y: 0,
            size: self,
        }
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

/// A part of a picture, in pixels from its upper left corner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rectangle {
    /// Its left edge.
    pub x: u32,
    /// Its upper edge.
    pub y: u32,
    /// Width and height.
    pub size: Size,
}

impl Rectangle {
    /// Whether a pixel lies in it.
    pub fn contains(&self, x: u32, y: u32) -> bool {
        (self.x..self.x + self.size.width).contains(&x)
            && (self.y..self.y + self.size.height).contains(&y)
    }
}

/// Something drawn over a part of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// Which part.
    pub part: Rectangle,
    /// Which colours: two layers with different seeds below 2^24 differ in every pixel.
    pub seed: u32,
}

impl Layer {
    /// The colour of a pixel, as 0xRRGGBB: no two pixels of a layer have the same one. The low
    /// bits of the column are red, those of the row green, and the high bits of both blue.
    fn colour(&self, x: u32, y: u32) -> u32 {
        let place = (x & 0xff) << 16 | (y & 0xff) << 8 | (x >> 8 & 0xf) << 4 | (y >> 8 & 0xf);
        // An odd factor maps no two seeds to one mask.
        place ^ (self.seed.wrapping_mul(0x9e_3779) & 0xff_ffff)
    }
}

/// A picture: layers one over the other, the first of which covers all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Picture {
    size: Size,
    layers: Vec<Layer>,
}

impl Picture {
    /// A picture of one layer.
    pub fn new(size: Size, seed: u32) -> Self {
        let part = size.whole();
        Picture {
            size,
            layers: vec![Layer { part, seed }],
        }
    }

    /// Width and height.
    pub fn size(&self) -> Size {
        self.size
    }

    /// Draws over a part of it; what lies outside the picture is not drawn.
    pub fn draw(&mut self, layer: Layer) {
        // What is covered is not looked at again.
        self.layers.retain(|other| other.part != layer.part);
        self.layers.push(layer);
    }

    /// The colour of a pixel, as 0xRRGGBB.
    pub fn pixel(&self, x: u32, y: u32) -> u32 {
        let top = self
            .layers
            .iter()
            .rev()
            .find(|layer| layer.part.contains(x, y));
        top.map_or(0, |layer| layer.colour(x, y))
    }

    /// A piece of a row as it is in memory.
    pub fn bytes(&self, y: u32, columns: std::ops::Range<u32>) -> Vec<u8> {
        columns
            .flat_map(|x| self.pixel(x, y).to_le_bytes())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const SIZE: Size = Size {
        width: 640,
        height: 480,
    };

    fn colours(picture: &Picture) -> Vec<u32> {
        let size = picture.size();
        let rows = 0..size.height;
        rows.flat_map(|y| (0..size.width).map(move |x| (x, y)))
            .map(|(x, y)| picture.pixel(x, y))
            .collect()
    }

    #[test]
    fn every_pixel_tells_where_it_belongs() {
        let full = Size {
            width: 1920,
            height: 1080,
        };
        for picture in [Picture::new(SIZE, 7), Picture::new(full, 0)] {
            let all: HashSet<_> = colours(&picture).into_iter().collect();
            assert_eq!(all.len(), picture.size().pixels());
        }
    }

    #[test]
    fn pictures_of_different_seeds_have_no_pixel_in_common() {
        let [one, two] = [1, 2].map(|seed| colours(&Picture::new(SIZE, seed)));
        assert!(one.iter().zip(&two).all(|(one, two)| one != two));
    }

    #[test]
    fn the_last_layer_is_on_top_and_no_larger_than_it_says() {
        let mut picture = Picture::new(SIZE, 1);
        let before = colours(&picture);
        let part = Rectangle {
            x: 10,
            y: 20,
            size: Size {
                width: 3,
                height: 2,
            },
        };
        for seed in [2, 3] {
            picture.draw(Layer { part, seed });
        }
        let after = colours(&picture);
        let differ = before.iter().zip(&after).filter(|(old, new)| old != new);
        assert_eq!(differ.count(), 6);
        assert_eq!(picture.pixel(10, 20), Picture::new(SIZE, 3).pixel(10, 20));
        assert_ne!(picture.pixel(9, 20), Picture::new(SIZE, 3).pixel(9, 20));
    }

    #[test]
    fn memory_has_blue_first() {
        let picture = Picture::new(SIZE, 0);
        assert_eq!(picture.bytes(2, 0x101..0x102), [0x10, 2, 1, 0]);
    }
}
