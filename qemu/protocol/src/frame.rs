// SPDX-License-Identifier: GPL-2.0

//! Messages on a byte stream: a length (32 bits, little endian), then as many bytes of postcard.

use std::io::{self, ErrorKind, Read, Write};

use serde::{Serialize, de::DeserializeOwned};

/// The longest message that is accepted, in bytes; a longer one is a broken stream.
pub const LONGEST: usize = 1 << 20;

fn invalid(what: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

/// Writes one message and flushes it.
///
/// # Errors
///
/// `InvalidData` for a message longer than [`LONGEST`], else what the stream reports.
pub fn send<T: Serialize>(stream: &mut impl Write, message: &T) -> io::Result<()> {
    let body = postcard::to_stdvec(message).map_err(invalid)?;
    if body.len() > LONGEST {
        return Err(invalid(format!(
            "a message of {} bytes is too long",
            body.len()
        )));
    }
    // One write for both parts: a reader never waits between a length and its message.
    let mut frame = Vec::with_capacity(4 + body.len());
    frame.extend_from_slice(&(body.len() as u32).to_le_bytes());
    frame.extend_from_slice(&body);
    stream.write_all(&frame)?;
    stream.flush()
}

/// Reads one message; `None` when the stream ended between two messages.
///
/// # Errors
///
/// `UnexpectedEof` when the stream ended inside a message, `InvalidData` when
/// the bytes are no message, else what the stream reports.
pub fn receive<T: DeserializeOwned>(stream: &mut impl Read) -> io::Result<Option<T>> {
    let mut length = [0; 4];
    let mut have = 0;
    while have < length.len() {
        match stream.read(&mut length[have..]) {
            Ok(0) if have == 0 => return Ok(None),
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(n) => have += n,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    let length = u32::from_le_bytes(length) as usize;
    if length > LONGEST {
        return Err(invalid(format!(
            "a message claims to be {length} bytes long"
        )));
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    let (message, rest) = postcard::take_from_bytes(&body).map_err(invalid)?;
    if !rest.is_empty() {
        return Err(invalid(format!(
            "{} bytes too many in a message",
            rest.len()
        )));
    }
    Ok(Some(message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Event, Stream};

    /// A reader that hands out one byte at a time, as a slow port may.
    struct Dribble<'a>(&'a [u8]);

    impl Read for Dribble<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let n = buffer.len().min(self.0.len()).min(1);
            buffer[..n].copy_from_slice(&self.0[..n]);
            self.0 = &self.0[n..];
            Ok(n)
        }
    }

    fn output(bytes: &[u8]) -> Event {
        Event::Output {
            program: 3,
            stream: Stream::Stdout,
            bytes: bytes.to_vec(),
        }
    }

    #[test]
    fn messages_arrive_whole_and_in_order() {
        let every_byte: Vec<u8> = (0..=255).collect();
        let sent = [output(&every_byte), output(b""), Event::Done];
        let mut wire = Vec::new();
        for event in &sent {
            send(&mut wire, event).unwrap();
        }
        let mut reader = Dribble(&wire);
        for event in sent {
            assert_eq!(receive(&mut reader).unwrap(), Some(event));
        }
        assert_eq!(receive::<Event>(&mut reader).unwrap(), None);
    }

    #[test]
    fn end_inside_a_message_is_an_error() {
        let mut wire = Vec::new();
        send(&mut wire, &output(b"abc")).unwrap();
        for cut in 1..wire.len() {
            let error = receive::<Event>(&mut &wire[..cut]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "cut at {cut}");
        }
    }

    #[test]
    fn noise_is_an_error() {
        let longest = (LONGEST as u32 + 1).to_le_bytes();
        assert_eq!(
            receive::<Event>(&mut &longest[..]).unwrap_err().kind(),
            ErrorKind::InvalidData
        );
        let unknown = [1, 0, 0, 0, 0x7f];
        assert_eq!(
            receive::<Event>(&mut &unknown[..]).unwrap_err().kind(),
            ErrorKind::InvalidData
        );
        let mut trailing = Vec::new();
        send(&mut trailing, &Event::Done).unwrap();
        trailing[0] += 1;
        trailing.push(0);
        assert_eq!(
            receive::<Event>(&mut &trailing[..]).unwrap_err().kind(),
            ErrorKind::InvalidData
        );
    }

    #[test]
    fn a_message_that_is_too_long_is_not_sent() {
        let mut wire = Vec::new();
        let error = send(&mut wire, &output(&vec![0; LONGEST])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert!(wire.is_empty());
    }
}
