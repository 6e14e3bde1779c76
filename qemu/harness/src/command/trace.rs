// SPDX-License-Identifier: GPL-2.0

//! `trace`: what happened to the buffers of a program, as a picture and a table.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result, bail};
use protocol::{Driver, Event, Stream};

use crate::{
    boot::{Boot, Task},
    cli::Guest,
    command::vm,
    elf,
    kernel::{Further, Kernel},
    layout::{self, Layout},
    trace::{
        costs,
        history::History,
        picture,
        recording::Recording,
        source::{self, CONVERTER},
        violation::Violation,
    },
};

/// The program that runs another one and prints the trace.
const TRACER: &str = "trace";

/// Where the traced program is in the guest: apart from the harness's own, whatever its name is.
const PLACE: &str = "/traced";

/// Why a file may have no event of the driver.
const WHY_NOTHING: &str =
    "it is of a kernel without tracepoints or of the C driver, or nobody used the device";

/// Mistakes that are printed; the others are counted.
const VIOLATIONS: usize = 20;

/// The arguments of `trace`.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    guest: Guest,
    /// Draws a trace that is there already: text of tracefs or of trace-cmd report, or a trace.dat.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["exec", "machine", "driver", "show_command"])]
    from: Option<PathBuf>,
    /// Checks the program's accesses, too: those that are wrong are red.
    #[arg(long, conflicts_with = "from")]
    check: bool,
    /// Where the picture goes; build/results/trace.svg unless it is said. The text of a guest's trace
    /// is kept beside it.
    #[arg(long, value_name = "FILE.svg")]
    out: Option<PathBuf>,
    /// Program and arguments as one string, quoted as for a shell.
    #[arg(required_unless_present = "from")]
    exec: Option<String>,
}

/// Draws a trace, of a file or of a program in a guest. The exit code is that of `vm`, or 1 if there was
/// nothing to draw.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let layout = Layout::find()?;
    let out = match &arguments.out {
        Some(out) => out.clone(),
        None => layout.build().join("results/trace.svg"),
    };
    if let Some(file) = &arguments.from {
        let text = source::text(file, CONVERTER)?;
        let drawn = Drawn::of(&text, &file.display().to_string(), WHY_NOTHING);
        let drawn = drawn.with_context(|| file.display().to_string())?;
        drawn.show(&layout, &out)?;
        return Ok(ExitCode::SUCCESS);
    }
    let exec = arguments.exec.as_deref().unwrap_or_default();
    let Some((text, code)) = in_guest(&layout, &arguments.guest, exec, arguments.check)? else {
        return Ok(ExitCode::SUCCESS);
    };
    let Some(code) = code else {
        // What went wrong is on the screen already.
        return Ok(ExitCode::from(vm::NO_EXIT_CODE));
    };
    let guest = &arguments.guest;
    let why = why_nothing(guest.driver, &text);
    // The guest program says nothing at all where there is no trace.
    if text.is_empty() {
        bail!("no event of the driver: {why}");
    }
    // For whoever wants to look at single events; --from takes it, too.
    let kept = out.with_extension("txt");
    if let Some(directory) = kept.parent() {
        fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
    }
    fs::write(&kept, &text).with_context(|| kept.display().to_string())?;
    let title = format!("{exec}, on {}", guest.machine.name());
    Drawn::of(&text, &title, why)?.show(&layout, &out)?;
    Ok(code)
}

/// Runs a program with the events on: the trace as the kernel wrote it, and the exit code if the guest
/// did its job. None if only the command line was wanted.
fn in_guest(
    layout: &Layout,
    guest: &Guest,
    exec: &str,
    check: bool,
) -> Result<Option<(String, Option<ExitCode>)>> {
    let (file, words) = vm::program(exec)?;
    elf::check(&file, guest.machine)?;
    let kernel = Kernel::find(layout, guest.machine, guest.kernel)?;
    let programs = layout.programs(guest.machine.board().target, guest.kernel);
    let tracer = programs.join(TRACER);
    layout::missing(&tracer)?;
    let place = place(&file)?;
    let mut arguments = match check {
        true => vec!["--check".to_owned(), place.clone()],
        false => vec![place.clone()],
    };
    arguments.extend(words);
    let boot = Boot {
        name: format!("trace-{}", guest.machine.name()),
        further: vec![Further::Camera, Further::Fences],
        driver: guest.driver,
        tasks: vec![Task::new(&tracer, arguments, None)?],
        files: vec![(place, file)],
        show_command: guest.show_command,
        ..Boot::new(layout, guest.machine, &kernel)
    };
    let mut text = Vec::new();
    let booted = boot.run(|event| match event {
        Event::Output {
            stream: Stream::Stdout,
            bytes,
            ..
        } => text.extend_from_slice(bytes),
        // What the program says, on both of its outputs.
        other => vm::pass_on(other),
    })?;
    let Some(booted) = booted else {
        return Ok(None);
    };
    let text = String::from_utf8_lossy(&text).into_owned();
    let code = vm::exit_code(layout, &booted);
    let is_whole = booted.broken().is_none() && !booted.outcomes.is_empty();
    Ok(Some((text, is_whole.then_some(code))))
}

/// Where a program is in the guest. The kernel calls it by its name.
fn place(file: &Path) -> Result<String> {
    let name = file.file_name();
    let name = name.with_context(|| format!("no file name: {}", file.display()))?;
    Ok(format!("{PLACE}/{}", name.to_string_lossy()))
}

/// Why a guest's trace may have no event of the driver.
fn why_nothing(driver: Driver, text: &str) -> &'static str {
    match (driver, text.is_empty()) {
        (Driver::C, _) => "the C driver has no tracepoints",
        (Driver::Rust, true) => "the kernel was built without CONFIG_TRACEPOINTS",
        (Driver::Rust, false) => "the program never used /dev/udmabuf",
    }
}

/// What a trace looks like.
struct Drawn {
    svg: String,
    text: String,
}

impl Drawn {
    /// Draws the text of a trace; `why` it may have no event of the driver.
    fn of(text: &str, title: &str, why: &str) -> Result<Self> {
        let recording = Recording::parse(text)?;
        if recording.events.is_empty() {
            match recording.lost.any() {
                true => bail!(
                    "no event of the driver, but {}: use a larger buffer",
                    recording.lost
                ),
                false => bail!("no event of the driver: {why}"),
            }
        }
        let history = History::of(&recording);
        let mut text = costs::table(&history);
        let violations = Violation::all(&history);
        if !violations.is_empty() {
            text += "\nWrong\n";
        }
        for violation in violations.iter().take(VIOLATIONS) {
            text += &format!("  {}\n", violation.line(history.begin));
        }
        if violations.len() > VIOLATIONS {
            text += &format!("  and {} more of these\n", violations.len() - VIOLATIONS);
        }
        if recording.lost.any() {
            let lost = recording.lost;
            text += &format!("\nOf the trace {lost}: what seems to be wrong may not be.\n");
        }
        Ok(Drawn {
            svg: picture::svg(&history, title)?,
            text,
        })
    }

    /// Prints the text, and writes the picture.
    fn show(&self, layout: &Layout, out: &Path) -> Result<()> {
        let directory = out.parent().filter(|parent| *parent != Path::new(""));
        if let Some(directory) = directory {
            fs::create_dir_all(directory)
                .with_context(|| format!("cannot make {}", directory.display()))?;
        }
        fs::write(out, &self.svg).with_context(|| format!("cannot write {}", out.display()))?;
        println!(
            "{}\nThe picture is {}.",
            self.text,
            layout.short(out).display()
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    const WHY: &str = "nobody used it";

    const TRACE: &str = "\
# tracer: nop
 a-1 [000] ..... 1.000100: udmabuf_create: ino=5 size=4096 extents=1 mode=DMA_API
 a-1 [000] ..... 1.000200: udmabuf_end: ino=5 access=r offset=0 length=4096 cleaned=0 \
invalidated=0 collected=0 published=0 duration=10000 error=0
CPU:0 [LOST 5 EVENTS]
 a-1 [000] ..... 1.000300: udmabuf_release: ino=5
";

    #[test]
    fn a_trace_becomes_a_table_and_a_picture() {
        let scratch = tempfile::tempdir().unwrap();
        let layout = Layout::for_tests(scratch.path());
        let drawn = Drawn::of(TRACE, "a title", WHY).unwrap();
        for expected in [
            "The only access\n",
            "\nWrong\n  0.090 ms  a-1, buffer 5: END of r without a START\n",
            "5 events were lost",
        ] {
            assert!(drawn.text.contains(expected), "{}", drawn.text);
        }
        let out = scratch.path().join("new/trace.svg");
        drawn.show(&layout, &out).unwrap();
        assert!(fs::read_to_string(&out).unwrap().contains("a title"));
    }

    #[test]
    fn many_mistakes_are_counted() {
        let end = TRACE.lines().nth(2).unwrap();
        let text = format!("{}\n", [end; 30].join("\n"));
        let drawn = Drawn::of(&text, "a title", WHY).unwrap();
        assert_eq!(drawn.text.matches("without a START").count(), VIOLATIONS);
        assert!(drawn.text.contains("\n  and 10 more of these\n"));
    }

    #[test]
    fn bad_traces_are_refused_in_one_line() {
        for (text, reason) in [
            ("", "nothing is in it"),
            ("# tracer: nop\n", "no event of the driver: nobody used it"),
            (" a-1 [000] ..... 1.5: sched_switch: a=b\n", WHY),
            (
                "CPU:0 [LOST 5 EVENTS]\n",
                "but 5 events were lost: use a larger",
            ),
            ("\u{7f}ELF", "no trace: line 1 is"),
            ("a-1 [000] ..... 1.5: udmabuf_end: x", "line 1 is a damaged"),
        ] {
            let message = Drawn::of(text, "a title", WHY).err().unwrap().to_string();
            assert!(message.contains(reason), "{text:?}: {message}");
            assert_eq!(message.lines().count(), 1);
        }
    }

    #[test]
    fn the_reason_for_nothing_depends_on_the_guest() {
        assert!(why_nothing(Driver::C, "").contains("C driver"));
        assert!(why_nothing(Driver::Rust, "").contains("CONFIG_TRACEPOINTS"));
        assert!(why_nothing(Driver::Rust, "# tracer: nop\n").contains("never used"));
    }

    #[test]
    fn a_program_keeps_its_name_and_is_in_nobodys_way() {
        assert_eq!(place(Path::new("a/b/trace")).unwrap(), "/traced/trace");
        assert!(place(Path::new("/")).is_err());
    }

    #[test]
    fn a_file_or_a_program_is_wanted() {
        let parse = |words: &[&str]| {
            let words = ["trace"].iter().chain(words);
            Line::try_parse_from(words).is_ok()
        };
        assert!(parse(&["prog x"]));
        assert!(parse(&["--machine", "28bit", "--out", "a.svg", "prog x"]));
        assert!(parse(&["--from", "a.txt", "--out", "a.svg"]));
        assert!(!parse(&[]));
        assert!(!parse(&["--from", "a.txt", "prog"]));
        assert!(!parse(&["--from", "a.txt", "--machine", "28bit"]));
    }
}
