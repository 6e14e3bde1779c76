// SPDX-License-Identifier: GPL-2.0

//! The machine: memory, a cache that all CPUs share, store buffers, shadows, the mutex of the
//! attachments, the word that says whether anything is pending; and of an automatic buffer its mutex,
//! and what entries the user mapping of each agent has.

use crate::script::{Access, Class, Script, DEVICES};

/// Words of the buffer; each is a cache line.
pub const WORDS: usize = 2;

/// Bytes of the buffer.
pub const BYTES: usize = WORDS * WORD;

const WORD: usize = 8;

/// In a store buffer: the word that says whether anything is pending.
const PENDING: usize = BYTES;

/// A line in the cache.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Line {
    dirty: bool,
    word: u64,
}

/// What has happened to the list of attachments, from which it is made anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    Mapped {
        device: usize,
        access: Access,
    },
    Unmapped {
        device: usize,
    },
    /// All of it was given to whoever is mapped.
    Given,
}

/// What an operation of the module does to the machine, all at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    LoadPage(usize),
    StorePage {
        byte: usize,
        value: u8,
    },
    StorePageWord {
        word: usize,
        value: u64,
    },
    LoadShadow {
        device: usize,
        word: usize,
    },
    StoreShadow {
        device: usize,
        byte: usize,
        value: u8,
    },
    StoreShadowWord {
        device: usize,
        word: usize,
        value: u64,
    },
    /// Writes a line back.
    Clean(usize),
    /// Writes a line back and drops it.
    CleanAndInvalidate(usize),
    /// Drops a line.
    Invalidate(usize),
    LoadPending,
    StorePending(bool),
    Barrier,
    Lock,
    Unlock,
    /// The mutex of an automatic buffer.
    Hold,
    Release,
    /// The agent's user mapping gets an entry.
    Enter(usize),
    /// All user mappings lose one.
    Forget(usize),
}

/// All of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    memory: [u64; WORDS],
    cache: [Option<Line>; WORDS],
    shadows: [[u64; WORDS]; DEVICES],
    pending: bool,
    owner: Option<usize>,
    holder: Option<usize>,
    /// Of each agent: the words that its user mapping has an entry of.
    entries: Vec<[bool; WORDS]>,
    /// Stores that are not yet in the cache, for each agent, oldest first; one behind the last byte
    /// is to the word that says whether anything is pending.
    buffers: Vec<Vec<(usize, u8)>>,
    /// Under the mutex.
    pub twins: [Option<[u64; WORDS]>; DEVICES],
    /// Under the mutex.
    pub history: Vec<Change>,
    /// Under that of an automatic buffer: the first pages of the chunks that are noted.
    pub noted: Vec<usize>,
    /// Under the mutex: open write brackets, for rules that remember them.
    pub open: Vec<usize>,
}

fn byte_of(word: u64, byte: usize) -> u8 {
    word.to_ne_bytes()[byte % WORD]
}

fn with_byte(word: u64, byte: usize, value: u8) -> u64 {
    let mut bytes = word.to_ne_bytes();
    bytes[byte % WORD] = value;
    u64::from_ne_bytes(bytes)
}

impl World {
    pub fn new(agents: usize) -> Self {
        World {
            memory: [0; WORDS],
            cache: [const { None }; WORDS],
            shadows: [[0; WORDS]; DEVICES],
            pending: false,
            owner: None,
            holder: None,
            entries: vec![[false; WORDS]; agents],
            buffers: vec![Vec::new(); agents],
            twins: [None; DEVICES],
            history: Vec::new(),
            noted: Vec::new(),
            open: Vec::new(),
        }
    }

    /// What a CPU sees of a word, which is in the cache afterwards.
    fn load(&mut self, word: usize) -> u64 {
        let memory = self.memory[word];
        let fetched = || Line {
            dirty: false,
            word: memory,
        };
        self.cache[word].get_or_insert_with(fetched).word
    }

    fn store(&mut self, word: usize, value: u64) {
        self.cache[word] = Some(Line {
            dirty: true,
            word: value,
        });
    }

    fn clean(&mut self, line: usize) {
        if let Some(cached) = self.cache[line].as_mut().filter(|cached| cached.dirty) {
            self.memory[line] = cached.word;
            cached.dirty = false;
        }
    }

    /// Whether the agent's stores are all in the cache.
    pub fn is_drained(&self, agent: usize) -> bool {
        self.buffers[agent].is_empty()
    }

    /// The oldest store of an agent reaches the cache. Returns whether it is a program's.
    pub fn drain(&mut self, agent: usize) -> bool {
        let (byte, value) = self.buffers[agent].remove(0);
        if byte == PENDING {
            self.pending = value != 0;
            return false;
        }
        let word = with_byte(self.load(byte / WORD), byte, value);
        self.store(byte / WORD, word);
        true
    }

    /// The CPU fetches a line for no reason.
    pub fn fetch(&mut self, line: usize) {
        self.load(line);
    }

    /// The CPU needs the room.
    pub fn evict(&mut self, line: usize) {
        self.clean(line);
        self.cache[line] = None;
    }

    /// Whether a line is in the cache.
    pub fn is_cached(&self, line: usize) -> bool {
        self.cache[line].is_some()
    }

    /// Whether the agent's user mapping has an entry of a byte.
    pub fn has_entry(&self, agent: usize, byte: usize) -> bool {
        self.entries[agent][byte / WORD]
    }

    /// Whether the agent has the mutex of the automatic buffer.
    pub fn holds(&self, agent: usize) -> bool {
        self.holder == Some(agent)
    }

    /// Whether no agent has stores to a word in its store buffer.
    fn is_settled(&self, word: usize) -> bool {
        let mut stores = self.buffers.iter().flatten();
        stores.all(|(byte, _)| *byte == PENDING || byte / WORD != word)
    }

    /// A program reads a byte.
    pub fn cpu_load(&mut self, agent: usize, byte: usize) -> u8 {
        let mut newest = self.buffers[agent].iter().rev();
        match newest.find(|(stored, _)| *stored == byte) {
            Some((_, value)) => *value,
            None => byte_of(self.load(byte / WORD), byte),
        }
    }

    /// A program writes a byte.
    pub fn cpu_store(&mut self, agent: usize, byte: usize, value: u8, buffered: bool) {
        self.buffers[agent].push((byte, value));
        if !buffered {
            self.drain(agent);
        }
    }

    /// A device reads a byte.
    pub fn device_load(&mut self, script: &Script, device: usize, byte: usize) -> u8 {
        let word = byte / WORD;
        let value = match script.classes[device] {
            Class::Coherent => self.load(word),
            Class::Cache => self.memory[word],
            Class::Shadow => self.shadows[device][word],
        };
        byte_of(value, byte)
    }

    /// A device writes a byte.
    pub fn device_store(&mut self, script: &Script, device: usize, byte: usize, value: u8) {
        let word = byte / WORD;
        match script.classes[device] {
            Class::Coherent => {
                let new = with_byte(self.load(word), byte, value);
                self.store(word, new);
            }
            Class::Cache => self.memory[word] = with_byte(self.memory[word], byte, value),
            Class::Shadow => {
                let shadow = &mut self.shadows[device][word];
                *shadow = with_byte(*shadow, byte, value);
            }
        }
    }

    /// Does a step of an agent; nothing if it has to wait. If `buffered`, others see later that
    /// something is pending.
    pub fn step(&mut self, agent: usize, step: Step, buffered: bool) -> Option<u64> {
        match step {
            Step::LoadPage(word) => return Some(self.load(word)),
            Step::StorePage { byte, value } => {
                let word = with_byte(self.load(byte / WORD), byte, value);
                self.store(byte / WORD, word);
            }
            Step::StorePageWord { word, value } => self.store(word, value),
            Step::LoadShadow { device, word } => return Some(self.shadows[device][word]),
            Step::StoreShadow {
                device,
                byte,
                value,
            } => {
                let shadow = &mut self.shadows[device][byte / WORD];
                *shadow = with_byte(*shadow, byte, value);
            }
            Step::StoreShadowWord {
                device,
                word,
                value,
            } => self.shadows[device][word] = value,
            Step::Clean(line) => self.clean(line),
            Step::CleanAndInvalidate(line) => self.evict(line),
            Step::Invalidate(line) => self.cache[line] = None,
            Step::LoadPending => {
                let mut newest = self.buffers[agent].iter().rev();
                let own = newest.find(|(stored, _)| *stored == PENDING);
                return Some(own.map_or(self.pending.into(), |(_, value)| u64::from(*value)));
            }
            Step::StorePending(value) if buffered => {
                self.buffers[agent].push((PENDING, value.into()));
            }
            Step::StorePending(value) => self.pending = value,
            // All of these wait for the store buffer.
            Step::Barrier if self.is_drained(agent) => {}
            Step::Lock if self.owner.is_none() && self.is_drained(agent) => {
                self.owner = Some(agent);
            }
            Step::Unlock if self.is_drained(agent) => self.owner = None,
            Step::Hold if self.holder.is_none() && self.is_drained(agent) => {
                self.holder = Some(agent);
            }
            Step::Release if self.is_drained(agent) => self.holder = None,
            Step::Barrier | Step::Lock | Step::Unlock | Step::Hold | Step::Release => return None,
            Step::Enter(word) => self.entries[agent][word] = true,
            // Every CPU is interrupted and forgets it, and what it stored by way of it is in the cache.
            Step::Forget(word) if self.is_settled(word) => {
                for entries in &mut self.entries {
                    entries[word] = false;
                }
            }
            Step::Forget(_) => return None,
        }
        Some(0)
    }
}
