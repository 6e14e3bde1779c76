// SPDX-License-Identifier: GPL-2.0

//! The benchmark: what both drivers, the system heap and the least that the kernel permits cost,
//! in instructions.
//!
//! The guest program `bench` measures and says what it found ([`listener`]), in one boot for each
//! machine ([`part`]). [Contenders](protocol::bench::Contender) that did the same meet in a
//! [`row`]. Rows become a [`table`]; those in which the C driver is cheaper are listed once more
//! ([`slower`]); and [`chart`]s, each drawn as a [`plot`], an SVG, of which a
//! [`picture`] is made; sizes by contiguous pieces become a [`grid`], drawn as [`heat`]. Nothing here judges a figure. Where the instructions of one figure went is
//! told by a [`profile`].

pub mod axis;
pub mod chart;
pub mod grid;
pub mod heat;
pub mod listener;
pub mod part;
pub mod picture;
pub mod plot;
pub mod profile;
pub mod results;
pub mod row;
pub mod slower;
pub mod table;

#[cfg(test)]
pub mod tests;
