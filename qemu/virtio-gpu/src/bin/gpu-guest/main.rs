// SPDX-License-Identifier: GPL-2.0

//! Draws in the inner guest what `gpu-host` asks for, and answers.

#![forbid(unsafe_code)]

mod artist;
mod card;
mod shared;
mod surface;

use std::{fs::File, time::Duration};

use anyhow::{Context, Result};
use protocol::port::{self, Connecting};
use virtio_gpu::{PORT, Reply, Request};

use crate::artist::Artist;

/// How long the port may take to appear, and to be connected.
const PATIENCE: Duration = Duration::from_secs(60);

/// The longest piece of pixels in one message, in bytes.
const PIECE: usize = protocol::LONGEST / 2;

fn main() -> Result<()> {
    let port = port::open(PORT, PATIENCE)?;
    let mut artist = Artist::default();
    loop {
        let request = protocol::receive(&mut Connecting::new(&port, PATIENCE))
            .context("cannot read a request")?;
        let Some(request) = request else {
            return Ok(());
        };
        match serve(&mut artist, &port, request) {
            Ok(()) => reply(&port, &Reply::Done)?,
            Err(error) => reply(&port, &Reply::Failed(format!("{error:#}")))?,
        }
    }
}

/// Does what was asked for; the last reply, whether it worked, is left to the caller.
fn serve(artist: &mut Artist, port: &File, request: Request) -> Result<()> {
    match request {
        Request::Show {
            gpu,
            memory,
            picture,
            wrong,
        } => artist.show(gpu, memory, &picture, wrong),
        Request::Update(layer) => artist.update(layer),
        Request::Flip(layer) => artist.flip(layer),
        Request::FlipForEver => artist.flip_for_ever(|| reply(port, &Reply::Done)),
        Request::Churn { count, seed } => artist.churn(count, seed),
        Request::Capture(size) => artist.capture(size),
        Request::Read => {
            let pixels = artist.read()?;
            let mut pieces = pixels.chunks(PIECE);
            pieces.try_for_each(|piece| reply(port, &Reply::Pixels(piece.to_vec())))
        }
    }
}

fn reply(mut port: &File, reply: &Reply) -> Result<()> {
    protocol::send(&mut port, reply).context("cannot answer")
}
