// SPDX-License-Identifier: GPL-2.0

//! Records made by hand.

use protocol::bench::{Case, Contender, Pages, Record};

/// A record of a buffer in one range, that took about so many instructions.
pub fn record(case: Case, contender: Contender, bytes: u64, instructions: u64) -> Record {
    Record {
        case,
        contender,
        machine: "x86_64-direct".into(),
        pages: Pages::Base,
        items: 1,
        bytes,
        attachments: 0,
        coherent: true,
        others: 0,
        threads: 0,
        waits: None,
        pieces: 0,
        instructions: vec![instructions; 3],
        memory: None,
        maintenance: None,
    }
}

/// Some of everything: three sizes with all contenders.
pub fn sweep(case: Case) -> Vec<Record> {
    let costs = [
        (Contender::Rust, 2),
        (Contender::C, 20),
        (Contender::Heap, 5),
        (Contender::Floor, 1),
    ];
    let mut records = Vec::new();
    for (contender, cost) in costs {
        for bytes in [4 << 10, 1 << 20, 1 << 30] {
            records.push(record(case, contender, bytes, bytes / 1000 * cost));
        }
    }
    records
}

/// Two sizes, the larger one in two numbers of pieces, with both drivers.
pub fn pieces(case: Case) -> Vec<Record> {
    let mut records = Vec::new();
    for (bytes, pieces) in [(4 << 10, 1), (16 << 10, 1), (16 << 10, 4)] {
        for (contender, cost) in [(Contender::Rust, 1300), (Contender::C, 1000)] {
            let mut record = record(case, contender, bytes, cost);
            record.pages = Pages::Pieces;
            record.pieces = pieces;
            records.push(record);
        }
    }
    records
}
