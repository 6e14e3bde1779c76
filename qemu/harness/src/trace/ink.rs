// SPDX-License-Identifier: GPL-2.0

//! Colours and sizes of a picture.

use plotters::style::RGBColor;

/// Any font that has no serifs.
pub const FONT: &str = "sans-serif";

/// Sizes of letters.
pub const TITLE_SIZE: i32 = 22;
pub const TEXT_SIZE: i32 = 15;
pub const SMALL_SIZE: i32 = 12;

/// What is drawn by the chart itself.
pub const TEXT: RGBColor = RGBColor(0x22, 0x22, 0x22);
pub const FAINT: RGBColor = RGBColor(0x77, 0x77, 0x77);
pub const GRID: RGBColor = RGBColor(0xe6, 0xe6, 0xe6);
pub const AXIS: RGBColor = RGBColor(0x99, 0x99, 0x99);

/// What something means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ink {
    Text,
    Bold,
    Faint,
    /// The life of a buffer.
    Life,
    /// Accesses, and the calls at their ends.
    Read,
    ReadCall,
    Write,
    WriteCall,
    ReadWrite,
    ReadWriteCall,
    Device,
    DeviceCall,
    /// A mapping, and the calls at its ends.
    Mapping,
    MappingCall,
    /// Copies.
    Collect,
    Publish,
    /// A fault of a user mapping.
    Fault,
    /// A call that failed or was refused.
    Failed,
    /// What a program must not do.
    Wrong,
}

/// Told apart by those as well who do not see all colours.
pub fn colour(ink: Ink) -> RGBColor {
    match ink {
        Ink::Text | Ink::Bold => TEXT,
        Ink::Faint => FAINT,
        Ink::Life => RGBColor(0x55, 0x55, 0x55),
        Ink::Read => RGBColor(0xb5, 0xd9, 0xf0),
        Ink::ReadCall => RGBColor(0x00, 0x72, 0xb2),
        Ink::Write => RGBColor(0xfb, 0xdf, 0x9d),
        Ink::WriteCall => RGBColor(0xc7, 0x7c, 0x00),
        Ink::ReadWrite => RGBColor(0xae, 0xe3, 0xcf),
        Ink::ReadWriteCall => RGBColor(0x00, 0x85, 0x60),
        Ink::Device => RGBColor(0xe8, 0xc9, 0xdc),
        Ink::DeviceCall => RGBColor(0x9b, 0x3f, 0x78),
        Ink::Mapping => RGBColor(0xea, 0xea, 0xea),
        Ink::MappingCall => RGBColor(0x99, 0x99, 0x99),
        Ink::Collect => RGBColor(0x33, 0x5c, 0xa8),
        Ink::Publish => RGBColor(0xa0, 0x5a, 0x00),
        Ink::Fault => RGBColor(0x88, 0x88, 0x88),
        Ink::Failed => RGBColor(0x44, 0x44, 0x44),
        Ink::Wrong => RGBColor(0xd4, 0x00, 0x00),
    }
}

/// The colours of an access and of its calls.
pub fn of_access(access: &str) -> (Ink, Ink) {
    match access {
        "r" => (Ink::Read, Ink::ReadCall),
        "w" => (Ink::Write, Ink::WriteCall),
        super::bracket::DEVICE => (Ink::Device, Ink::DeviceCall),
        _ => (Ink::ReadWrite, Ink::ReadWriteCall),
    }
}

/// A colour as the drawing has it.
#[cfg(test)]
pub fn hex(ink: Ink) -> String {
    let RGBColor(red, green, blue) = colour(ink);
    format!("#{red:02X}{green:02X}{blue:02X}")
}
