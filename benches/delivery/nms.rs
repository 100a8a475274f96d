//! The message store over HTTP: objects created, boxes searched, flags set, each by clients that ask again as soon as they
//! are answered.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use tokio_postgres::Client;

use crate::Args;
use crate::field::Field;
use crate::program::Program;
use crate::report::{self, Cell, Line};

/// Objects in the box that is searched.
pub const BOX_OBJECTS: u32 = 100_000;
/// Objects in one search's answer at most.
pub const PAGE_OBJECTS: u32 = 10;
/// Objects that one bulk request flags.
pub const BULK_OBJECTS: u64 = 100;
/// How long the text index may take to know the box.
const INDEX_PATIENCE: Duration = Duration::from_secs(600);

/// Runs it. There is no reference, and nothing in the summary.
pub async fn run(args: &Args, program: &Program, field: &Field) -> anyhow::Result<Vec<Line>> {
    say!("\n## The message store over HTTP, {} clients\n", args.clients);
    say!("Searches and flags are in a box of {} objects.\n", Cell::Count(f64::from(BOX_OBJECTS)));
    let store = Store::prepare(program, &field.tocsin().await?).await?;
    let time = Duration::from_secs_f64(args.seconds);
    let mut rows = Vec::new();
    for operation in Operation::ALL {
        store.run(operation, args.clients, Duration::from_secs_f64(args.warm_up)).await?;
        let run = store.run(operation, args.clients, time).await?;
        rows.push(vec![
            Cell::Text(operation.to_string()),
            Cell::Count(run.rate),
            Cell::Time(run.p50),
            Cell::Time(run.p99),
        ]);
    }
    report::table(&["", "requests/s", "p50", "p99"], &rows);
    Ok(Vec::new())
}

/// What clients do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// POST of an object without payload.
    Create,
    /// POST of an object with an image of 20 KB.
    CreateWithPayload,
    /// The ten newest objects.
    SearchNewest,
    /// The ten newest unread ones, which are one in a hundred.
    SearchUnread,
    /// By an attribute that a few of them have.
    SearchAttribute,
    /// By a word that a few of them contain.
    SearchWord,
    /// By a part of a word.
    SearchPart,
    /// PUT of one flag.
    SetFlag,
    /// One flag on [`BULK_OBJECTS`] objects.
    BulkUpdate,
}

impl Operation {
    /// All of them.
    pub const ALL: [Operation; 9] = [
        Operation::Create,
        Operation::CreateWithPayload,
        Operation::SearchNewest,
        Operation::SearchUnread,
        Operation::SearchAttribute,
        Operation::SearchWord,
        Operation::SearchPart,
        Operation::SetFlag,
        Operation::BulkUpdate,
    ];
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Operation::Create => "object create",
            Operation::CreateWithPayload => "object create, 20 KB payload",
            Operation::SearchNewest => "search: newest",
            Operation::SearchUnread => "search: unread, newest first",
            Operation::SearchAttribute => "search: Conversation-ID",
            Operation::SearchWord => "search: WholeWord",
            Operation::SearchPart => "search: AllTextAttributes",
            Operation::SetFlag => "flag set",
            Operation::BulkUpdate => "bulkUpdate of 100 objects",
        })
    }
}

/// A box full of objects, and clients.
pub struct Store {
    http: reqwest::Client,
    url: String,
    objects: Vec<i64>,
    next: AtomicU64,
}

/// What a run comes to.
pub struct Run {
    /// Requests a second.
    pub rate: f64,
    /// Half of the answers were there after this time.
    pub p50: Duration,
    /// 99 of 100.
    pub p99: Duration,
}

impl Store {
    /// Fills a box, and waits until it is indexed.
    pub async fn prepare(program: &Program, sql: &Client) -> anyhow::Result<Store> {
        for _ in 0..BOX_OBJECTS / 10_000 {
            sql.batch_execute(FILL).await?;
        }
        sql.batch_execute("vacuum analyze").await?;
        let deadline = Instant::now() + INDEX_PATIENCE;
        while sql.query_one(UNINDEXED, &[]).await?.get::<_, bool>(0) {
            ensure!(Instant::now() < deadline, "the text index does not get there");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let objects = sql.query("select id from tocsin.messages where box_id = 'full' order by id", &[]).await?;
        Ok(Store {
            http: reqwest::Client::builder().no_proxy().build()?,
            url: format!("{}/nms/v1/default", program.url),
            objects: objects.iter().map(|row| row.get(0)).collect(),
            next: AtomicU64::new(0),
        })
    }

    /// Lets so many clients do it for a while.
    pub async fn run(&self, operation: Operation, clients: u32, time: Duration) -> anyhow::Result<Run> {
        let (start, until) = (Instant::now(), Instant::now() + time);
        let working = (0..clients).map(async |_| {
            let mut times = Vec::new();
            while Instant::now() < until {
                let sent = Instant::now();
                self.once(operation).await?;
                times.push(sent.elapsed());
            }
            anyhow::Ok(times)
        });
        let times = futures_util::future::try_join_all(working).await?.concat();
        let mut histogram = Histogram::<u64>::new(3)?;
        for time in &times {
            histogram.record(u64::try_from(time.as_nanos())?)?;
        }
        let quantile = |q| Duration::from_nanos(histogram.value_at_quantile(q));
        Ok(Run { rate: times.len() as f64 / start.elapsed().as_secs_f64(), p50: quantile(0.5), p99: quantile(0.99) })
    }

    async fn once(&self, operation: Operation) -> anyhow::Result<()> {
        let n = self.next.fetch_add(1, Ordering::Relaxed);
        match operation {
            Operation::Create => {
                let object = json!({ "object": object(n) });
                self.post(&format!("/bench-{}/objects", n % 1000), object).await.map(drop)
            }
            Operation::CreateWithPayload => self.create_with_payload(n).await,
            Operation::SearchNewest => self.search(json!([]), PAGE_OBJECTS).await,
            Operation::SearchUnread => {
                self.search(json!([{ "type": "Flag", "name": "\\Seen", "value": "false" }]), PAGE_OBJECTS).await
            }
            Operation::SearchAttribute => {
                let value = format!("c{}", n % 10_000);
                self.search(json!([{ "type": "Attribute", "name": "Conversation-ID", "value": value }]), 10).await
            }
            Operation::SearchWord => {
                let word = format!("invoice{}", n % 10_000);
                self.search(json!([{ "type": "WholeWord", "value": word }]), 10).await
            }
            Operation::SearchPart => {
                let part = format!("voice{} ", n % 10_000);
                self.search(json!([{ "type": "AllTextAttributes", "value": part }]), 10).await
            }
            Operation::SetFlag => {
                let url = format!("{}/full/objects/{}/flags/f{}", self.url, self.object(n), n / 100_000);
                let answer = self.http.put(url).send().await?;
                ensure!(answer.status() == 201, "{}", answer.text().await?);
                Ok(())
            }
            Operation::BulkUpdate => self.bulk_update(n).await,
        }
    }

    fn object(&self, n: u64) -> i64 {
        self.objects[n as usize % self.objects.len()]
    }

    /// Must find so many objects.
    async fn search(&self, criteria: Value, expected: u32) -> anyhow::Result<()> {
        let mut selection = json!({
            "maxEntries": PAGE_OBJECTS, "sortCriteria": { "criterion": [{ "type": "Date", "order": "Descending" }] } });
        if criteria != json!([]) {
            selection["searchCriteria"] = json!({ "criterion": criteria });
        }
        let found = self.post("/full/objects/operations/search", json!({ "selectionCriteria": selection })).await?;
        let objects = found["objectList"]["object"].as_array().context("objects")?.len();
        ensure!(objects == expected as usize, "{criteria} found {objects}");
        Ok(())
    }

    async fn bulk_update(&self, n: u64) -> anyhow::Result<()> {
        let references: Vec<Value> = (0..BULK_OBJECTS)
            .map(|k| json!({ "resourceURL": format!("{}/full/objects/{}", self.url, self.object(n * BULK_OBJECTS + k)) }))
            .collect();
        let update = json!({ "bulkUpdate": {
            "objects": { "objectReference": references }, "operation": "AddFlag",
            "flags": { "flag": [format!("b{}", n / 1000)] } } });
        self.post("/full/objects/operations/bulkUpdate", update).await.map(drop)
    }

    async fn create_with_payload(&self, n: u64) -> anyhow::Result<()> {
        let image: Vec<u8> = (0..20_000_u64).map(|k| (k.wrapping_mul(n + 1) >> 3) as u8).collect();
        let root = reqwest::multipart::Part::text(json!({ "object": object(n) }).to_string());
        let form = reqwest::multipart::Form::new()
            .part("root-fields", root.mime_str("application/json")?)
            .part("attachments", reqwest::multipart::Part::bytes(image).mime_str("image/jpeg")?);
        let answer = self.http.post(format!("{}/bench-{}/objects", self.url, n % 1000)).multipart(form).send().await?;
        ensure!(answer.status() == 201, "{}", answer.text().await?);
        Ok(())
    }

    async fn post(&self, path: &str, body: Value) -> anyhow::Result<Value> {
        let request = self.http.post(format!("{}{path}", self.url)).header("content-type", "application/json");
        let answer = request.body(body.to_string()).send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        ensure!(status.is_success(), "{status}: {text}");
        Ok(serde_json::from_str(&text)?)
    }
}

fn object(n: u64) -> Value {
    let attribute = |name: &str, value: String| json!({ "name": name, "value": [value] });
    json!({ "attributes": { "attribute": [
        attribute("From", "tel:+15550001111".to_owned()),
        attribute("To", "tel:+15550002222".to_owned()),
        attribute("Direction", "In".to_owned()),
        attribute("Message-Context", "pager-message".to_owned()),
        attribute("Conversation-ID", format!("c{}", n % 1000)),
        attribute("Subject", "Shall we meet at the usual place tomorrow at noon?".to_owned())] },
        "flags": { "flag": [] } })
}

/// Ten thousand objects: every conversation has ten, every invoice ten, one in a hundred is unread.
const FILL: &str = r"
    insert into tocsin.messages (box_id, sender, recipient, body, attributes, flags)
    select 'full', 'tel:+1555' || i % 1000, 'full', 'About invoice' || i || ' of this year: is it paid, please?',
           jsonb_build_object('Conversation-ID', 'c' || i),
           case when i % 100 = 0 then '{}'::text[] else array['\Seen'] end
    from generate_series(0, 9999) as i";

/// Whether objects are not in the text index yet.
const UNINDEXED: &str = "select exists (
    select from tocsin.objects o where not exists (select from tocsin.object_terms t where t.object_id = o.id))";
