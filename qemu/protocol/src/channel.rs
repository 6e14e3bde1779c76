// SPDX-License-Identifier: GPL-2.0

//! What the guest tells the cache model.
//!
//! The model runs inside QEMU and sees every instruction, but not what a page is for. So the guest
//! writes messages, one 32-bit word after the other, to edu's liveness register (offset 0x04 of
//! the device's registers), which does nothing with them. `/dev/edu-importer` does it for programs
//! (`EDU_NOTE`) and sends messages of its own: [`Message::Device`] when it binds a device, and
//! [`Message::Translate`] before a transfer whose bus addresses an IOMMU translates.
//!
//! A message is a header, [`MAGIC`] with its kind in bits 8 to 15 and the number of words that
//! follow in bits 0 to 7, and then its words; 64-bit values are low word first. Messages to
//! one device never interleave.

/// The upper half of every header.
pub const MAGIC: u32 = 0xcac0_0000;

/// Kinds of messages, bits 8 to 15 of the header.
pub mod kind {
    /// [`super::Message::Device`]
    pub const DEVICE: u32 = 1;
    /// [`super::Message::Translate`]
    pub const TRANSLATE: u32 = 2;
    /// [`super::Message::Watch`]
    pub const WATCH: u32 = 3;
    /// [`super::Message::Unwatch`]
    pub const UNWATCH: u32 = 4;
    /// [`super::Message::Scope`]
    pub const SCOPE: u32 = 5;
}

/// What a message calls a page or a page frame, in bytes, whatever the size of the kernel's pages.
pub const PAGE_SIZE: usize = 4096;

/// The longest message, in words without the header.
pub const LONGEST: usize = 64;

/// Something that the guest tells the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// The edu device that this is written to is number `index`. A coherent one snoops caches.
    Device {
        /// Its number at the importer.
        index: u32,
        /// Whether the kernel takes it for coherent.
        coherent: bool,
    },
    /// Bus page `bus` of this device is page `frame` of RAM, until said otherwise.
    Translate {
        /// The bus address, in pages.
        bus: u64,
        /// The page frame number.
        frame: u64,
    },
    /// From now on page frame `frame`, which is page `page` of a buffer, is watched. What the CPU
    /// wrote to it before counts as not written back.
    Watch {
        /// The page frame number.
        frame: u64,
        /// The page index in the buffer, for reports.
        page: u32,
    },
    /// No page is watched any more.
    Unwatch,
    /// What follows happens in the scope of that name, and counts there, until the next scope; an
    /// empty name ends the last one. At most [`LONGEST`] words of UTF-8, zero padded.
    Scope(String),
}

/// Words that are no message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Noise(pub String);

impl std::fmt::Display for Noise {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "no message to the cache model: {}", self.0)
    }
}

impl std::error::Error for Noise {}

fn split(value: u64) -> [u32; 2] {
    [value as u32, (value >> 32) as u32]
}

fn join(low: u32, high: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

impl Message {
    /// The words to write, header first. A scope's name that is too long is cut.
    pub fn encode(&self) -> Vec<u32> {
        let (kind, body) = match self {
            Message::Device { index, coherent } => {
                (kind::DEVICE, vec![*index, u32::from(*coherent)])
            }
            Message::Translate { bus, frame } => {
                (kind::TRANSLATE, [split(*bus), split(*frame)].concat())
            }
            Message::Watch { frame, page } => {
                (kind::WATCH, [&split(*frame)[..], &[*page]].concat())
            }
            Message::Unwatch => (kind::UNWATCH, vec![]),
            Message::Scope(name) => {
                let words = name.as_bytes().chunks(4).take(LONGEST).map(|chunk| {
                    let mut word = [0; 4];
                    word[..chunk.len()].copy_from_slice(chunk);
                    u32::from_le_bytes(word)
                });
                (kind::SCOPE, words.collect())
            }
        };
        let header = MAGIC | kind << 8 | body.len() as u32;
        [vec![header], body].concat()
    }

    fn decode(kind: u32, body: &[u32]) -> Result<Message, Noise> {
        match (kind, body) {
            (kind::DEVICE, &[index, coherent @ (0 | 1)]) => Ok(Message::Device {
                index,
                coherent: coherent == 1,
            }),
            (kind::TRANSLATE, &[bus, bus_high, frame, frame_high]) => Ok(Message::Translate {
                bus: join(bus, bus_high),
                frame: join(frame, frame_high),
            }),
            (kind::WATCH, &[frame, frame_high, page]) => Ok(Message::Watch {
                frame: join(frame, frame_high),
                page,
            }),
            (kind::UNWATCH, []) => Ok(Message::Unwatch),
            (kind::SCOPE, words) => {
                let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
                while bytes.last() == Some(&0) {
                    bytes.pop();
                }
                String::from_utf8(bytes)
                    .map(Message::Scope)
                    .map_err(|_| Noise("a scope whose name is not UTF-8".into()))
            }
            _ => Err(Noise(format!("kind {kind} with {} words", body.len()))),
        }
    }
}

/// Puts the words written to one device together again.
#[derive(Clone, Debug, Default)]
pub struct Decoder {
    kind: u32,
    left: usize,
    body: Vec<u32>,
}

impl Decoder {
    /// Takes one word in; returns the message that it completes.
    ///
    /// # Errors
    ///
    /// [`Noise`] for words that are no message; decoding then starts anew.
    pub fn word(&mut self, word: u32) -> Result<Option<Message>, Noise> {
        if self.left == 0 {
            if word & 0xffff_0000 != MAGIC || (word & 0xff) as usize > LONGEST {
                return Err(Noise(format!("header {word:#010x}")));
            }
            self.kind = word >> 8 & 0xff;
            self.left = (word & 0xff) as usize;
            self.body.clear();
        } else {
            self.body.push(word);
            self.left -= 1;
        }
        if self.left > 0 {
            return Ok(None);
        }
        Message::decode(self.kind, &self.body).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_arrive_as_they_were_sent() {
        let sent = [
            Message::Device {
                index: 3,
                coherent: true,
            },
            Message::Translate {
                bus: 0xf_ffff_fff0,
                frame: 0x1_0000_0001,
            },
            Message::Watch {
                frame: 0x12_3456_789a,
                page: 7,
            },
            Message::Scope("rust cpu_to_device".into()),
            Message::Scope(String::new()),
            Message::Unwatch,
        ];
        let mut decoder = Decoder::default();
        let mut received = Vec::new();
        for word in sent.iter().flat_map(Message::encode) {
            received.extend(decoder.word(word).unwrap());
        }
        assert_eq!(received, sent);
    }

    #[test]
    fn noise_is_refused_and_forgotten() {
        let mut decoder = Decoder::default();
        for wrong in [0, 0x1234_5678, MAGIC | 0xff, MAGIC | 9 << 8] {
            assert!(decoder.word(wrong).is_err(), "{wrong:#x}");
        }
        // A message of the wrong length.
        assert_eq!(decoder.word(MAGIC | kind::WATCH << 8 | 1), Ok(None));
        assert!(decoder.word(1).is_err());
        for word in Message::Unwatch.encode() {
            assert_eq!(decoder.word(word), Ok(Some(Message::Unwatch)));
        }
    }

    #[test]
    fn a_long_name_is_cut() {
        let words = Message::Scope("x".repeat(1000)).encode();
        assert_eq!(words.len(), 1 + LONGEST);
    }
}
