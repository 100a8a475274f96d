//! What a transaction has done so far, and the statements that do it.

use rand::RngExt;
use rand::seq::{IndexedRandom, SliceRandom};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error};

use super::super::evidence::{end_key, write_key};
use super::super::plan::stream_of;
use super::Writer;
use super::shape::Deed;

/// An object of ours.
#[derive(Debug, Clone)]
pub struct Own {
    pub id: i64,
    pub of: String,
}

#[derive(Debug)]
pub struct Work {
    pub name: String,
    /// Keys of the events.
    pub writes: Vec<String>,
    /// Those rolled back to a savepoint.
    pub undone: Vec<String>,
    pub made: Vec<Own>,
    pub gone: Vec<i64>,
}

/// Where a savepoint was set.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    writes: usize,
    made: usize,
    gone: usize,
}

impl Work {
    pub fn new(name: String) -> Work {
        Work { name, writes: Vec::new(), undone: Vec::new(), made: Vec::new(), gone: Vec::new() }
    }

    pub fn mark(&self) -> Mark {
        Mark { writes: self.writes.len(), made: self.made.len(), gone: self.gone.len() }
    }

    pub fn back_to(&mut self, mark: Mark) {
        self.undone.extend(self.writes.drain(mark.writes..));
        self.made.truncate(mark.made);
        self.gone.truncate(mark.gone);
    }
}

const MESSAGE: &str =
    "insert into tocsin.messages (box_id, sender, recipient, body) values ($1, 'tel:+1', $1, $2) returning id";
const APPLICATION: &str = "insert into tocsin.events (stream, kind, data)
    values ($1, $2, jsonb_build_object('TextContent', $3::text)) returning object_id";
const MANY_MESSAGES: &str = "insert into tocsin.messages (box_id, sender, recipient, body)
    select of, 'tel:+1', of, t from unnest($1::text[], $2::text[]) with ordinality as w (of, t, n) order by n
    returning id";
const MANY_EVENTS: &str = "insert into tocsin.events (stream, kind, data)
    select 'default/' || of, 'object.created', jsonb_build_object('attributes', jsonb_build_object('TextContent', t))
    from unnest($1::text[], $2::text[]) with ordinality as w (of, t, n) order by n
    returning object_id";
const CHANGE: &str = "update tocsin.messages set body = $3 || '.' || id, flags = $4 where id = any($1) and box_id = $2";
const DELETE: &str = "delete from tocsin.messages where id = any($1) and box_id = $2";
const EXPIRE: &str = "insert into tocsin.events (stream, kind, object_id)
    select $2, 'object.expired', id from unnest($1::bigint[]) as id";

impl Writer {
    /// Does one thing in the first of the boxes, or, if it takes many, in all of them.
    pub(super) async fn do_deed(
        &mut self,
        client: &Client,
        deed: Deed,
        boxes: &[String],
        sorted: bool,
        work: &mut Work,
    ) -> Result<(), Error> {
        let of = &boxes[0];
        match deed {
            Deed::Message => self.make(client, MESSAGE, of, None, work).await,
            Deed::Application => {
                let kind = ["call.missed", "voicemail.left", "x"].choose(&mut self.chance).copied();
                self.make(client, APPLICATION, of, kind, work).await
            }
            Deed::Many { through_view } => {
                let statement = if through_view { MANY_MESSAGES } else { MANY_EVENTS };
                self.make_many(client, statement, boxes, sorted, work).await
            }
            Deed::Change | Deed::ChangeAll | Deed::Delete | Deed::Expire => {
                let mut ids: Vec<i64> =
                    self.own.iter().chain(&work.made).filter(|own| own.of == *of).map(|own| own.id).collect();
                ids.retain(|id| !work.gone.contains(id));
                if !matches!(deed, Deed::ChangeAll) {
                    ids.shuffle(&mut self.chance);
                    ids.truncate(1);
                }
                match deed {
                    _ if ids.is_empty() => self.make(client, MESSAGE, of, None, work).await,
                    Deed::Change | Deed::ChangeAll => self.change(client, of, &ids, work).await,
                    Deed::Delete => self.finish(client, DELETE, (of, of), &ids, work).await,
                    _ => self.finish(client, EXPIRE, (of, &stream_of(of)), &ids, work).await,
                }
            }
        }
    }

    /// One new object.
    async fn make(
        &mut self,
        client: &Client,
        statement: &str,
        of: &str,
        kind: Option<&str>,
        work: &mut Work,
    ) -> Result<(), Error> {
        let text = self.text();
        // A box without a store is in the default one.
        let stream = if self.chance.random_bool(0.5) { of.to_owned() } else { stream_of(of) };
        let row = match &kind {
            None => client.query_one(statement, &[&of, &text]).await?,
            Some(kind) => client.query_one(statement, &[&stream, kind, &text]).await?,
        };
        work.made.push(Own { id: row.get(0), of: of.to_owned() });
        work.writes.push(write_key(&stream_of(of), &text));
        Ok(())
    }

    /// Many new objects by one statement.
    async fn make_many(
        &mut self,
        client: &Client,
        statement: &str,
        boxes: &[String],
        sorted: bool,
        work: &mut Work,
    ) -> Result<(), Error> {
        let rows = self.chance.random_range(2..14);
        let mut of: Vec<&String> = (0..rows).filter_map(|_| boxes.choose(&mut self.chance)).collect();
        if sorted {
            of.sort();
        }
        let texts: Vec<String> = of.iter().map(|_| self.text()).collect();
        let ids = client.query(statement, &[&of, &texts]).await?;
        for ((of, text), row) in of.into_iter().zip(&texts).zip(&ids) {
            work.made.push(Own { id: row.get(0), of: of.clone() });
            work.writes.push(write_key(&stream_of(of), text));
        }
        self.expect(ids.len(), rows, "rows made");
        Ok(())
    }

    async fn change(&mut self, client: &Client, of: &str, ids: &[i64], work: &mut Work) -> Result<(), Error> {
        let text = self.text();
        let flags: Vec<&str> =
            ["\\Seen", "\\Flagged", "$Done"].into_iter().filter(|_| self.chance.random_bool(0.4)).collect();
        let changed = client.execute(CHANGE, &[&ids, &of, &text, &flags]).await?;
        work.writes.extend(ids.iter().map(|id| write_key(&stream_of(of), &format!("{text}.{id}"))));
        self.expect(usize::try_from(changed).unwrap(), ids.len(), "objects changed");
        Ok(())
    }

    /// Deletes or expires; `named` is the box as the statement wants it.
    async fn finish(
        &mut self,
        client: &Client,
        statement: &str,
        (of, named): (&str, &str),
        ids: &[i64],
        work: &mut Work,
    ) -> Result<(), Error> {
        let parameters: [&(dyn ToSql + Sync); 2] = [&ids, &named];
        let ended = client.execute(statement, &parameters).await?;
        work.gone.extend(ids);
        work.writes.extend(ids.iter().map(|id| end_key(&stream_of(of), *id)));
        self.expect(usize::try_from(ended).unwrap(), ids.len(), "objects ended");
        Ok(())
    }

    fn expect(&mut self, had: usize, due: usize, what: &str) {
        if had != due {
            self.journal.faults.push(format!("{}: {had} {what}, {due} were due", self.name));
        }
    }
}
