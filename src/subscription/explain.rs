//! What became of an event on its way to a subscription: told from the log and the cursors, by the rules that delivery
//! itself follows.

use chrono::{DateTime, Utc};

use super::history::{self, End, Generation, History, Progress};
use super::{Subscription, rows};
use crate::base::ids::{Stream, SubscriptionId};
use crate::base::{Error, Result};
use crate::log::Event;
use crate::log::event::token;
use crate::log::rows::read_stream;
use crate::postgres::Database;

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Its list was sent, and the client has it.
    Confirmed,
    /// Its list was sent; whether it arrived is not known yet.
    Sent,
    /// Its list will be sent.
    Waiting,
    /// There is no list of it.
    Never,
    /// What would tell is not known any more.
    Unknown,
}

impl Verdict {
    /// In one word.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Confirmed => "confirmed",
            Verdict::Sent => "sent",
            Verdict::Waiting => "waiting",
            Verdict::Never => "never",
            Verdict::Unknown => "unknown",
        }
    }
}

/// The answer.
#[derive(Debug)]
pub struct Explanation {
    /// In one word.
    pub verdict: Verdict,
    /// In a sentence.
    pub why: String,
    /// Index of the list that brings the event, if there is one.
    pub index: Option<i64>,
    /// What it rests on: each with its name.
    pub facts: Vec<(&'static str, String)>,
}

/// What was asked for, as far as it is found.
struct Case<'a> {
    database: &'a Database,
    id: &'a SubscriptionId,
    seq: i64,
    history: History,
    facts: Vec<(&'static str, String)>,
}

/// Explains what became of event `seq` of the subscription's box; `stream`: of this box, says whoever asks.
pub async fn explain(
    database: &Database,
    id: &SubscriptionId,
    stream: Option<&Stream>,
    seq: i64,
) -> Result<Explanation> {
    let found = match history::read(database, id, stream).await? {
        None if stream.is_some() => history::read(database, id, None).await?,
        found => found,
    };
    let Some(history) = found else {
        let (verdict, why) = if history::lives(database, id).await? {
            (Verdict::Unknown, format!("what the log said of subscription {id} is no longer kept"))
        } else {
            (Verdict::Never, format!("no subscription {id} is known"))
        };
        return Ok(Explanation { verdict, why, index: None, facts: Vec::new() });
    };
    let mut case = Case { database, id, seq, history, facts: Vec::new() };
    let (verdict, why, index) = case.judge(stream).await?;
    Ok(Explanation { verdict, why, index, facts: case.facts })
}

type Judgement = (Verdict, String, Option<i64>);

fn never(why: String) -> Judgement {
    (Verdict::Never, why, None)
}

impl Case<'_> {
    async fn judge(&mut self, asked: Option<&Stream>) -> Result<Judgement> {
        let (stream, seq) = (self.history.of.stream().clone(), self.seq);
        self.tell_of_subscription();
        if let Some(other) = asked.filter(|asked| **asked != stream) {
            return Ok(never(format!("the subscription is of {}, not of {}", stream.as_str(), other.as_str())));
        }
        let place = history::place(self.database, &stream, seq).await?;
        let Some(kind) = place.kind else {
            return Ok(match seq {
                seq if seq <= place.base => (Verdict::Unknown, format!("event {seq} is no longer kept"), None),
                _ => never(format!("there is no event {seq} in {}: its newest is {}", stream.as_str(), place.head)),
            });
        };
        let read = read_stream(self.database, &stream, seq, DateTime::UNIX_EPOCH, 1, usize::MAX).await?;
        let Some(event) = read.0.into_iter().next() else {
            return Ok((Verdict::Unknown, format!("event {seq} is no longer kept"), None));
        };
        let object = event.object_id.map(|id| format!(" of object {id}")).unwrap_or_default();
        self.fact("event", format!("{seq} of {}, {kind}{object}, at {}", stream.as_str(), token(event.edited_at)));
        if let Some(why) = self.not_meant(&event) {
            return Ok(never(why));
        }
        let generations = &self.history.generations;
        let covers = |n: usize| {
            let next = generations.get(n + 1).map_or(i64::MAX, |next| next.seq);
            generations.get(n).is_some_and(|one| one.from < seq && seq < next)
        };
        let Some(n) = (0..generations.len()).rev().find(|n| covers(*n)) else {
            let first = generations.iter().map(|one| one.from).min().unwrap_or_default();
            return Ok(never(format!("before the subscription's start: it begins after event {first}")));
        };
        let (Some(generation), next) = (generations.get(n).cloned(), generations.get(n + 1).cloned()) else {
            return Err(Error::internal(anyhow::anyhow!("a generation of {}", self.id)));
        };
        if generation.from < place.base {
            let why = format!("its index counts from event {}, which is no longer kept", generation.from + 1);
            return Ok((Verdict::Unknown, why, None));
        }
        let index = self.index_in(&generation, seq).await?;
        match (next, self.history.end.clone()) {
            (Some(next), _) => Ok(superseded(&next, index)),
            (None, Some(end)) => Ok(at_end(&end, seq, index)),
            (None, None) => self.judge_live(&generation, index).await,
        }
    }

    /// Why there is no list of the event, wherever the cursor stands.
    fn not_meant(&self, event: &Event) -> Option<String> {
        if let Some(end) = self.history.end.as_ref().filter(|end| end.seq < event.seq) {
            return Some(format!(
                "the subscription had ended before: {} at {}, event {}",
                end.how,
                token(end.at),
                end.seq
            ));
        }
        if self.history.generations.iter().all(|one| event.seq <= one.from) {
            return None; // said by the caller, together with where it begins
        }
        if !event.kind.is_notified() {
            return Some("subscriptions are not told of events of this kind".to_owned());
        }
        let before = self.history.generations.iter().rev().find(|one| one.seq < event.seq);
        let since = before.or(self.history.generations.first()).map_or(0, |one| one.seq);
        let refusal = self.history.filter.as_ref().and_then(|filter| filter.refusal(event, since))?;
        Some(format!("filtered out: {refusal}"))
    }

    async fn judge_live(&mut self, generation: &Generation, index: i64) -> Result<Judgement> {
        let subscription = match rows::get(self.database, &self.history.of, self.id).await {
            Err(Error::NotFound { .. }) => {
                return Ok((
                    Verdict::Unknown,
                    "the subscription or its channel is over its time".to_owned(),
                    Some(index),
                ));
            }
            other => other?,
        };
        let progress = history::progress(self.database, self.id).await?;
        self.tell_of_progress(&subscription, &progress);
        let (cursor, seq) = (subscription.cursor, self.seq);
        let horizons = rows::horizons(self.database, &[(subscription.of.stream().clone(), cursor)]).await?;
        if let Some(horizon) = horizons.first().filter(|horizon| !cursor.reset && !horizon.continues(&cursor)) {
            let why = format!(
                "the log is not what it was when the cursor was stored: \
                 a resetBox will stand for everything up to event {}",
                horizon.head_seq
            );
            return Ok((if seq < cursor.next_seq { Verdict::Unknown } else { Verdict::Never }, why, None));
        }
        if seq < cursor.next_seq {
            if self.index_in(generation, cursor.next_seq).await? != cursor.next_index {
                return Ok((Verdict::Unknown, RESET.to_owned(), None));
            }
            return Ok(confirmed(index, cursor.next_seq == seq + 1, progress.confirmed_at));
        }
        let sent = self.count(generation, cursor.next_seq, seq).await?;
        let index = cursor.next_index + i64::from(cursor.reset) + sent;
        Ok(unconfirmed(seq, cursor.next_seq, index, &progress))
    }

    /// The index that the list of a wanted event has in a generation, unless a reset came between.
    async fn index_in(&self, generation: &Generation, seq: i64) -> Result<i64> {
        Ok(generation.index + i64::from(generation.reset) + self.count(generation, generation.from + 1, seq).await?)
    }

    /// How many events are wanted in a generation from a seq on, before another.
    async fn count(&self, generation: &Generation, from: i64, before: i64) -> Result<i64> {
        let (stream, filter) = (self.history.of.stream(), self.history.filter.as_ref());
        rows::count_wanted(&self.database.get().await?, stream, filter, generation.seq, from..=before - 1).await
    }

    fn fact(&mut self, name: &'static str, text: String) {
        self.facts.push((name, text));
    }

    fn tell_of_subscription(&mut self) {
        let history = &self.history;
        let end = match &history.end {
            None => String::new(),
            Some(end) => format!(", {} at {} (event {})", end.how, token(end.at), end.seq),
        };
        let mut told = format!("{} of {}{end}", self.id, history.of.stream().as_str());
        for one in &history.generations {
            told += &format!("; since event {} after event {}, from index {}", one.seq, one.from, one.index);
        }
        let filter = history.filter.as_ref().map(|filter| serde_json::to_string(filter).unwrap_or_default());
        let channel = history.channel.to_string();
        self.fact("subscription", told);
        self.fact("filter", filter.unwrap_or_else(|| "none".to_owned()));
        self.fact("channel", channel);
    }

    fn tell_of_progress(&mut self, subscription: &Subscription, progress: &Progress) {
        let (kind, user) = &progress.channel;
        let target = match &subscription.notify_url {
            Some(url) => format!("{} for {url}", subscription.channel),
            None => format!("{} of {user}, {kind}", subscription.channel),
        };
        self.facts.retain(|(name, _)| *name != "channel");
        self.fact("channel", target);
        let cursor = &subscription.cursor;
        let at = progress.confirmed_at.map(|at| format!(", stored at {}", token(at))).unwrap_or_default();
        let reset = if cursor.reset { ", a resetBox is due" } else { "" };
        self.fact("cursor", format!("next is event {}, index {}{reset}{at}", cursor.next_seq, cursor.next_index));
        if let Some((since, why)) = &progress.disabled {
            self.fact("disabled", format!("since {}: {why}", token(*since)));
        }
        if let Some((since, attempts, error)) = &progress.failing {
            self.fact("failing", format!("since {}, {attempts} attempts: {error}", token(*since)));
        }
    }
}

const RESET: &str =
    "the subscription was reset since: a resetBox was sent, and what came before it may have been left out";

fn superseded(next: &Generation, index: i64) -> Judgement {
    let why = format!(
        "it was due as index {index}; at event {} the client had the subscription start after event {} instead",
        next.seq, next.from
    );
    (Verdict::Unknown, why, Some(index))
}

fn at_end(end: &End, seq: i64, index: i64) -> Judgement {
    let how = format!("the subscription ended ({} at {})", end.how, token(end.at));
    match &end.confirmed {
        Some(confirmed) if confirmed.seq >= seq => {
            let at = confirmed.at.map(|at| format!(" by {}", token(at))).unwrap_or_default();
            (Verdict::Confirmed, format!("sent as index {index}, and confirmed{at}, before {how}"), Some(index))
        }
        Some(confirmed) => {
            let why = format!("it was due as index {index}, but {how} when only event {} was confirmed", confirmed.seq);
            (Verdict::Unknown, why, Some(index))
        }
        None => {
            (Verdict::Unknown, format!("it was due as index {index}, but {how} with nothing confirmed"), Some(index))
        }
    }
}

fn confirmed(index: i64, last: bool, at: Option<DateTime<Utc>>) -> Judgement {
    let at = match at {
        Some(at) if last => format!(" at {}", token(at)),
        Some(at) => format!(" by {} at the latest", token(at)),
        None => String::new(),
    };
    (Verdict::Confirmed, format!("sent as index {index}, and confirmed{at}"), Some(index))
}

fn unconfirmed(seq: i64, next_seq: i64, index: i64, progress: &Progress) -> Judgement {
    let mut because = match (&progress.disabled, &progress.failing) {
        (Some((_, why)), _) => format!("; nothing is delivered to the disabled channel: {why}"),
        (None, Some((_, attempts, error))) => format!("; the last of {attempts} attempts failed: {error}"),
        (None, None) => String::new(),
    };
    if let Some((_, at)) = progress.sent.filter(|(upto, _)| *upto > seq) {
        return (Verdict::Sent, format!("sent as index {index} at {}, not confirmed{because}", token(at)), Some(index));
    }
    if let Some((_, at, lost)) = progress.answered.filter(|(upto, ..)| *upto > seq) {
        let at = at.map(|at| format!(" at {}", token(at))).unwrap_or_default();
        if lost {
            because += "; that answer was lost, and the next poll brings it again";
        }
        let why = format!("sent as index {index} in the answer to a poll{at}, which the next poll confirms{because}");
        return (Verdict::Sent, why, Some(index));
    }
    let why = format!("to be sent as index {index}: not reached yet, the cursor stands at event {next_seq}{because}");
    (Verdict::Waiting, why, Some(index))
}
