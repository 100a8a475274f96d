//! How far long work is: a bar on a terminal, on stderr; where there is none, lines now and then, or nothing.

use std::cell::Cell;
use std::io::{IsTerminal, stderr, stdout};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often a line says how far it is, where there is no terminal for a bar.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// How often a bar is drawn, in a second.
const DRAWN_HZ: u8 = 10;

/// Of one piece of work. The bar goes when this value does.
pub(super) struct Progress {
    bar: ProgressBar,
    next_line: Cell<Option<Instant>>,
}

impl Progress {
    /// Of work without output of its own. `style` is one of indicatif's templates.
    pub(super) fn new(style: &str) -> Self {
        let on_terminal = stderr().is_terminal();
        Progress { bar: bar(style, on_terminal), next_line: Cell::new((!on_terminal).then(Instant::now)) }
    }

    /// Of work that prints as it goes: there is a bar only if that goes elsewhere.
    pub(super) fn beside_output(style: &str) -> Self {
        let visible = stderr().is_terminal() && !stdout().is_terminal();
        Progress { bar: bar(style, visible), next_line: Cell::new(None) }
    }

    /// So much of so much is done.
    pub(super) fn show(&self, done: u64, of: u64) {
        self.bar.set_length(of);
        self.bar.set_position(done);
    }

    /// The bar goes: others want to print.
    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }

    /// What is done now: beside the bar.
    pub(super) fn say(&self, what: &str) {
        self.bar.set_message(what.to_owned());
    }

    /// The same as a line, where there is no bar.
    pub(super) fn line(&self, what: &str) {
        if self.next_line.get().is_some() {
            eprintln!("{what}");
        }
    }

    /// The same, but not too often.
    pub(super) fn line_now_and_then(&self, what: impl FnOnce() -> String) {
        let now = Instant::now();
        if self.next_line.get().is_some_and(|at| at <= now) {
            self.next_line.set(Some(now + LINE_EVERY));
            eprintln!("{}", what());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
}

fn bar(style: &str, visible: bool) -> ProgressBar {
    let target = if visible { ProgressDrawTarget::stderr_with_hz(DRAWN_HZ) } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(Some(0), target);
    bar.set_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}
