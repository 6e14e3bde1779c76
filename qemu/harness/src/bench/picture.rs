// SPDX-License-Identifier: GPL-2.0

//! A drawing as pixels.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use resvg::{
    tiny_skia::{Pixmap, Transform},
    usvg::{
        Options, Tree,
        fontdb::{Database, Family, Query},
    },
};

use super::plot::{FONT, SIZE};

/// Pixels for each unit of the drawing.
const SCALE: u32 = 2;

/// The font that set-up installs.
const USUAL: &str = "DejaVu Sans";

/// Makes pictures of drawings, with the machine's fonts.
pub struct Painter {
    fonts: Arc<Database>,
}

impl Painter {
    /// A painter who has a font.
    ///
    /// # Errors
    ///
    /// When there is none: pictures would be without a word.
    pub fn new() -> Result<Self> {
        let mut fonts = Database::new();
        fonts.load_system_fonts();
        Painter::with(fonts)
    }

    fn with(mut fonts: Database) -> Result<Self> {
        let usual = Query {
            families: &[Family::Name(USUAL)],
            ..Query::default()
        };
        let family = match (fonts.query(&usual), fonts.faces().next()) {
            (Some(_), _) => USUAL.to_owned(),
            (None, Some(other)) => {
                let name = other.families.first();
                name.context("a font without a name")?.0.clone()
            }
            (None, None) => {
                bail!("no font for the plots: install fonts-dejavu-core, or run ci/setup")
            }
        };
        fonts.set_sans_serif_family(family);
        Ok(Painter {
            fonts: Arc::new(fonts),
        })
    }

    /// A drawing as a PNG.
    pub fn png(&self, svg: &str) -> Result<Vec<u8>> {
        let options = Options {
            fontdb: Arc::clone(&self.fonts),
            font_family: FONT.into(),
            ..Options::default()
        };
        let tree = Tree::from_str(svg, &options).context("cannot read the drawing")?;
        let mut pixels =
            Pixmap::new(SIZE.0 * SCALE, SIZE.1 * SCALE).context("a picture of no size")?;
        let scale = Transform::from_scale(SCALE as f32, SCALE as f32);
        resvg::render(&tree, scale, &mut pixels.as_mut());
        pixels.encode_png().context("cannot make a PNG")
    }
}

#[cfg(test)]
mod tests {
    use super::{super::plot::tests, *};

    #[test]
    fn a_picture_has_the_size_of_its_drawing_and_something_on_it() {
        let png = Painter::new().unwrap().png(&tests::some()).unwrap();
        assert!(png.starts_with(b"\x89PNG\r\n\x1a\n"));
        let picture = Pixmap::decode_png(&png).unwrap();
        assert_eq!((picture.width(), picture.height()), (1920, 1120));
        let ink = |red, green, blue| {
            let pixels = picture.pixels().iter();
            pixels
                .filter(move |p| (p.red(), p.green(), p.blue()) == (red, green, blue))
                .count()
        };
        assert!(ink(0xff, 0xff, 0xff) > 1_000_000);
        assert!(ink(0xd5, 0x5e, 0x00) > 1000 && ink(0x00, 0x72, 0xb2) > 1000);
    }

    #[test]
    fn words_are_written() {
        let painter = Painter::new().unwrap();
        let drawing = tests::some();
        let without = drawing.replace("udmabuf-rs", " ");
        assert_ne!(
            painter.png(&drawing).unwrap(),
            painter.png(&without).unwrap()
        );
    }

    #[test]
    fn without_a_font_there_is_one_clear_line() {
        let error = Painter::with(Database::new()).err().unwrap().to_string();
        assert!(error.contains("fonts-dejavu-core") && !error.contains('\n'));
    }

    #[test]
    fn what_is_no_drawing_is_refused() {
        assert!(Painter::new().unwrap().png("<svg").is_err());
    }
}
