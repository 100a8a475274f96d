//! How far the run is: a bar on a terminal, of the parts. What is printed meanwhile goes above it.

use std::sync::LazyLock;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

static BAR: LazyLock<ProgressBar> = LazyLock::new(|| {
    let bar = ProgressBar::new(0); // on stderr, and hidden where that is no terminal
    let style = ProgressStyle::with_template("{bar:30} part {pos} of {len}: {msg}, {elapsed} since the start");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
});

/// So many parts are to be run.
pub fn begin(parts: usize) {
    BAR.set_length(parts as u64);
    BAR.enable_steady_tick(Duration::from_secs(1));
}

/// The next one begins.
pub fn part(name: &str) {
    BAR.set_message(name.to_owned());
    BAR.inc(1);
}

/// None is left.
pub fn end() {
    BAR.finish_and_clear();
}

/// Prints something: the bar makes room for it.
pub fn above<R>(print: impl FnOnce() -> R) -> R {
    BAR.suspend(print)
}

/// `println!`, above the bar.
macro_rules! say {
    ($($what:tt)*) => { $crate::progress::above(|| println!($($what)*)) };
}

/// `eprintln!`, above the bar.
macro_rules! note {
    ($($what:tt)*) => { $crate::progress::above(|| eprintln!($($what)*)) };
}
