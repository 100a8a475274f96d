//! What a transaction will look like, chosen beforehand, so that it can be tried again as it was.

use rand::RngExt;
use rand::rngs::StdRng;

use super::super::plan::any_box;

#[derive(Debug)]
pub struct Shape {
    pub isolation: &'static str,
    /// Rings no bell.
    pub quiet: bool,
    /// Takes its transaction id long before it writes.
    pub early_xid: bool,
    /// One for each step, and more for a last step that writes to several.
    pub boxes: Vec<String>,
    /// In the order of streams, so that nothing deadlocks.
    pub sorted: bool,
    pub steps: Vec<Step>,
    pub end: End,
}

#[derive(Debug, Clone, Copy)]
pub struct Step {
    pub deed: Deed,
    pub savepoint: Option<Fate>,
}

/// What becomes of a savepoint.
#[derive(Debug, Clone, Copy)]
pub enum Fate {
    Released,
    RolledBack,
}

#[derive(Debug, Clone, Copy)]
pub enum Deed {
    /// A message, through the view.
    Message,
    /// An event of a kind of our own, into the log.
    Application,
    /// Many rows in one statement, over several boxes, through the view or into the log.
    Many { through_view: bool },
    /// Changes one of our objects in the box.
    Change,
    /// Changes all of our objects in the box by one statement.
    ChangeAll,
    /// Deletes one.
    Delete,
    /// Expires one.
    Expire,
}

#[derive(Debug, Clone, Copy)]
pub enum End {
    Commit,
    Rollback,
    Prepare { commit: bool },
}

impl Shape {
    pub fn choose(chance: &mut StdRng) -> Shape {
        let steps: Vec<Step> = (0..chance.random_range(1..4)).map(|_| Step::choose(chance)).collect();
        let mut boxes: Vec<String> = (0..steps.len() + chance.random_range(0..4)).map(|_| any_box(chance)).collect();
        let sorted = chance.random_bool(0.9);
        if sorted {
            boxes.sort();
        }
        let isolation = match chance.random_range(0..20) {
            0..14 => "read committed",
            14..17 => "repeatable read",
            _ => "serializable",
        };
        let end = match chance.random_range(0..100) {
            0..82 => End::Commit,
            82..94 => End::Rollback,
            _ => End::Prepare { commit: chance.random_bool(0.7) },
        };
        // PREPARE TRANSACTION refuses what has notified.
        let quiet = matches!(end, End::Prepare { .. }) || chance.random_bool(0.1);
        Shape { isolation, quiet, early_xid: chance.random_bool(0.15), boxes, sorted, steps, end }
    }

    pub fn begin(&self) -> String {
        let quiet = if self.quiet { "; set local tocsin.ring = 'off'" } else { "" };
        format!("begin isolation level {}{quiet}", self.isolation)
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let steps: Vec<String> =
            self.steps.iter().map(|step| format!("{:?}/{:?}", step.deed, step.savepoint)).collect();
        write!(f, "{} {} {:?}", self.isolation, steps.join(" "), self.end)
    }
}

impl Step {
    fn choose(chance: &mut StdRng) -> Step {
        let deed = match chance.random_range(0..100) {
            0..35 => Deed::Message,
            35..45 => Deed::Application,
            45..60 => Deed::Many { through_view: chance.random_bool(0.5) },
            60..78 => Deed::Change,
            78..85 => Deed::ChangeAll,
            85..95 => Deed::Delete,
            _ => Deed::Expire,
        };
        let savepoint = match chance.random_range(0..10) {
            0 => Some(Fate::Released),
            1 => Some(Fate::RolledBack),
            _ => None,
        };
        Step { deed, savepoint }
    }
}
