// SPDX-License-Identifier: GPL-2.0

//! Made-up traces.

use super::{history::History, recording::Recording};

/// The text of a trace: who, when in µs, and an event without the name that all have in front.
pub fn text(lines: &[(&str, u64, &str)]) -> String {
    let line = |(task, at, event): &(&str, u64, &str)| {
        let (seconds, micros) = (at / 1_000_000, at % 1_000_000);
        format!("{task:>16} [000] ..... {seconds:>5}.{micros:06}: udmabuf_{event}\n")
    };
    let lines = lines.iter().map(line);
    "# tracer: nop\n#\n".to_owned() + &lines.collect::<String>()
}

/// What such a trace tells.
pub fn history(lines: &[(&str, u64, &str)]) -> History {
    History::of(&Recording::parse(&text(lines)).unwrap())
}

/// A call that begins or ends an access to all of a small buffer.
fn call(name: &str, ino: u64, access: &str) -> String {
    format!(
        "{name}: ino={ino} access={access} offset=0 length=4096 cleaned=0 invalidated=0 \
         collected=0 published=0 duration=10000 error=0"
    )
}

/// Every mistake that can be made.
pub fn wrong() -> History {
    history(&[
        ("a-1", 10, "create: ino=5 size=4096 extents=1 mode=DMA_API"),
        ("a-1", 100, &call("end", 5, "r")),
        ("a-1", 200, &call("begin", 5, "r")),
        ("a-1", 300, &call("end", 5, "rw")),
        ("a-1", 400, &call("begin", 5, "w")),
        ("b-2", 450, &call("end", 5, "w")),
        ("a-1", 500, "release: ino=5"),
        ("b-2", 600, &call("end", 6, "r")),
        ("b-2", 700, &call("begin", 6, "rw")),
        ("b-2", 800, "fault: ino=6 page=0 first=0 pages=1 order=0"),
    ])
}

/// A camera that fills a buffer behind a bounce buffer, a screen that keeps its mapping, and a program
/// that forgets an end.
pub fn two_threads_and_two_devices() -> History {
    const CAMERA: &str = "0000:00:02.0";
    const SCREEN: &str = "0000:00:03.0";
    let mut lines: Vec<(&str, u64, String)> = Vec::new();
    for (ino, begin) in [(17, 2_000_000), (18, 2_004_000)] {
        let mut tell = |who, at: u64, event: String| lines.push((who, begin + at, event));
        let sync = |name: &str, access: &str, moved: [u64; 4], duration: u64, error: i32| {
            let [cleaned, invalidated, collected, published] = moved;
            format!(
                "{name}: ino={ino} access={access} offset=0 length=65536 cleaned={cleaned} \
                 invalidated={invalidated} collected={collected} published={published} \
                 duration={duration} error={error}"
            )
        };
        let copy = |name: &str, changed: u64, duration: u64| {
            format!(
                "{name}: ino={ino} device={CAMERA} offset=0 length=65536 changed={changed} \
                 duration={duration}"
            )
        };
        let of_screen = |name: &str, cleaned: u64, duration: u64| {
            format!(
                "{name}: ino={ino} device={SCREEN} cleaned={cleaned} invalidated=0 collected=0 \
                 published=0 duration={duration} error=0"
            )
        };
        let map = |device: &str, direction: &str, class: &str, duration: u64| {
            format!(
                "map: ino={ino} device={device} direction={direction} class={class} \
                 duration={duration} error=0"
            )
        };
        tell(
            "camera-61",
            20,
            format!("create: ino={ino} size=65536 extents=12 mode=DMA_API"),
        );
        tell(
            "camera-61",
            260,
            map(CAMERA, "FROM_DEVICE", "shadow", 180_000),
        );
        tell(
            "camera-61",
            420,
            format!("fault: ino={ino} page=0 first=0 pages=16 order=0"),
        );
        tell("screen-62", 560, map(SCREEN, "TO_DEVICE", "cache", 90_000));
        for frame in 0..3 {
            let at = 900 + frame * 1_000;
            tell("camera-61", at, copy("collect", 61_440, 110_000));
            tell(
                "camera-61",
                at + 20,
                sync("begin", "r", [0, 0, 61_440, 0], 140_000, 0),
            );
            if frame == 1 {
                tell(
                    "screen-62",
                    at + 100,
                    sync("begin", "rw", [0; 4], 4_000, -4),
                );
            }
            tell("camera-61", at + 320, sync("end", "r", [0; 4], 6_000, 0));
            tell("screen-62", at + 420, sync("begin", "w", [0; 4], 20_000, 0));
            tell("screen-62", at + 560, copy("publish", 4_096, 40_000));
            if frame < 2 || ino == 18 {
                tell(
                    "screen-62",
                    at + 590,
                    sync("end", "w", [65_536, 0, 0, 4_096], 90_000, 0),
                );
            }
            tell(
                "screen-62",
                at + 650,
                of_screen("begin_device", 65_536, 30_000),
            );
            tell("screen-62", at + 830, of_screen("end_device", 0, 5_000));
        }
        if ino == 18 {
            tell("screen-62", 3_850, sync("end", "r", [0; 4], 4_000, 0));
        }
        let unmap = |device: &str, class: &str| {
            format!("unmap: ino={ino} device={device} class={class} duration=40000")
        };
        tell("camera-61", 3_900, unmap(CAMERA, "shadow"));
        tell("screen-62", 3_960, unmap(SCREEN, "cache"));
        tell("camera-61", 4_040, format!("release: ino={ino}"));
    }
    let lines: Vec<_> = lines
        .iter()
        .map(|(who, at, event)| (*who, *at, event.as_str()))
        .collect();
    history(&lines)
}

/// So many buffers, each with so many threads that have so many brackets.
pub fn many(buffers: u64, threads: u64, brackets: u64) -> History {
    let mut lines = Vec::new();
    for ino in 0..buffers {
        for thread in 0..threads {
            // Later ones are busier.
            for bracket in 0..brackets + ino + thread {
                let at = 1_000 + bracket * 100 + thread * 7;
                let who = format!("worker-{}", 100 + thread);
                lines.push((who.clone(), at, call("begin", ino, "r")));
                lines.push((who, at + 50, call("end", ino, "r")));
            }
        }
    }
    lines.sort_by_key(|(_, at, _)| *at);
    let lines: Vec<_> = lines
        .iter()
        .map(|(who, at, event)| (who.as_str(), *at, event.as_str()))
        .collect();
    history(&lines)
}
