//! TLS to Postgres, against a real one.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use tempfile::TempDir;
use tocsin::postgres::Database;
use tocsin::postgres::embedded::Embedded;
use tokio_postgres::Client;

use crate::cli;
use crate::support::certificates::{Ca, Pair};
use crate::support::eventually;
use crate::support::postgres::{FORGETFUL, connect};

/// The name in the server's certificate.
const NAME: &str = "db.test";
/// Encrypted by passwords, and in clear by nobody.
const HBA: &str = "local all all trust\nhostssl all all 127.0.0.0/8 scram-sha-256\n";

/// A cluster that listens on an address of its own, by TLS only.
struct Encrypted {
    _embedded: Embedded,
    sql: Client,
    address: String,
    ca: Ca,
    dir: TempDir,
}

impl Encrypted {
    /// `number` tells the clusters of one test process apart.
    async fn start(number: u8) -> Encrypted {
        let (data, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let [_, _, low, high] = std::process::id().to_be_bytes();
        let address = format!("127.{number}.{low}.{high}");
        let hba = dir.path().join("hba.conf");
        std::fs::write(&hba, HBA).unwrap();
        // Postgres runs as somebody else when we are root.
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let settings =
            [FORGETFUL[0], FORGETFUL[1], ("listen_addresses", &address), ("hba_file", hba.to_str().unwrap())];
        let embedded = Embedded::start_with(&data.keep(), &settings).await.unwrap();
        let sql = connect(embedded.url()).await;
        sql.batch_execute("create role tester superuser login password 'secret'").await.unwrap();
        Encrypted { _embedded: embedded, sql, address, ca: Ca::new(), dir }
    }

    /// Gives the server this certificate.
    async fn serve(&self, pair: &Pair) {
        for (name, text) in [("server.key", &pair.key), ("server.crt", &pair.cert)] {
            // The key belongs to who runs Postgres, and nobody else may read it.
            let lines = text.lines().map(|line| format!("('{line}')")).collect::<Vec<_>>().join(",");
            let copy = format!("copy (values {lines}) to program 'umask 077; cat > {name}'");
            self.sql.batch_execute(&copy).await.unwrap();
        }
        for sql in ["alter system set ssl = on", "select pg_reload_conf()"] {
            self.sql.batch_execute(sql).await.unwrap();
        }
        // A reload takes a moment.
        eventually("it speaks TLS", async || self.attempt("sslmode=require").await.is_ok().then_some(())).await;
    }

    fn file(&self, name: &str, ca: &Ca) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, ca.pem()).unwrap();
        path
    }

    fn url(&self, host: &str, parameters: &str) -> String {
        let address = &self.address;
        format!("postgresql://tester:secret@{host}/tocsin?hostaddr={address}&channel_binding=require&{parameters}")
    }

    async fn attempt(&self, parameters: &str) -> Result<(), String> {
        attempt(&self.url(NAME, parameters)).await
    }
}

/// Connects in both ways; says why it cannot.
async fn attempt(url: &str) -> Result<(), String> {
    let told = |fault: anyhow::Error| format!("{fault:#}");
    let database = Database::new(url).map_err(told)?;
    let own = database.connect("test").await.map_err(told)?;
    let pooled = database.get().await.map_err(|fault| fault.to_string())?;
    for client in [&own.client, &**pooled] {
        let encrypted = client.query_one("select ssl from pg_stat_ssl where pid = pg_backend_pid()", &[]).await;
        assert!(encrypted.unwrap().get::<_, bool>(0), "in clear");
    }
    Ok(())
}

#[tokio::test]
async fn each_sslmode_trusts_whom_it_says() {
    let postgres = Encrypted::start(7).await;
    postgres.serve(&postgres.ca.issue(&[NAME, &postgres.address])).await;
    let (ca, other) = (postgres.file("ca.pem", &postgres.ca), postgres.file("other.pem", &Ca::new()));
    let (ca, other) = (ca.display(), other.display());
    for parameters in [
        format!("sslmode=verify-full&sslrootcert={ca}"),
        format!("sslmode=verify-ca&sslrootcert={ca}"),
        format!("sslmode=require&sslrootcert={ca}"),
        "sslmode=require".to_owned(),
        "sslmode=prefer".to_owned(),
        String::new(),
    ] {
        assert_eq!(postgres.attempt(&parameters).await, Ok(()), "{parameters}");
    }
    // By its address, too, and written in pairs.
    let address = &postgres.address;
    let pairs =
        format!("host={address} user=tester password=secret dbname=tocsin sslmode=verify-full sslrootcert='{ca}'");
    assert_eq!(attempt(&pairs).await, Ok(()));

    let fault = |outcome: Result<(), String>| outcome.unwrap_err();
    for parameters in ["verify-full", "verify-ca", "require"].map(|mode| format!("sslmode={mode}&sslrootcert={other}"))
    {
        let fault = fault(postgres.attempt(&parameters).await);
        assert!(fault.contains("invalid peer certificate: UnknownIssuer"), "{parameters}: {fault}");
    }
    let system = fault(postgres.attempt("sslmode=verify-full&sslrootcert=system").await);
    assert!(system.contains("UnknownIssuer") || system.contains("no certificates of CAs"), "{system}");
    let misnamed = |mode: &str| postgres.url("elsewhere.test", &format!("sslmode={mode}&sslrootcert={ca}"));
    let fault_of_name = fault(attempt(&misnamed("verify-full")).await);
    assert!(fault_of_name.contains("elsewhere.test"), "{fault_of_name}");
    assert_eq!(attempt(&misnamed("verify-ca")).await, Ok(()), "the name is not looked at");
    let clear = fault(postgres.attempt("sslmode=disable").await);
    assert!(clear.contains("no encryption") || clear.contains("channel binding"), "{clear}");

    // Every command goes the same way, and says in one line what is wrong.
    let migrate = |parameters: String| async move { cli::run(&["migrate", "--database-url", &parameters]).await };
    let good = migrate(postgres.url(NAME, &format!("sslmode=verify-full&sslrootcert={ca}"))).await;
    assert!(good.status.success(), "{good:?}");
    let bad = migrate(postgres.url(NAME, &format!("sslmode=verify-full&sslrootcert={other}"))).await;
    cli::refused(&bad, "UnknownIssuer");
    let said = String::from_utf8(bad.stderr).unwrap();
    assert_eq!(said.lines().filter(|line| line.starts_with("tocsin:")).count(), 1, "{said}");
}

#[tokio::test]
async fn a_certificate_that_nobody_issued_will_do_for_encryption_only() {
    let postgres = Encrypted::start(8).await;
    postgres.serve(&Pair::self_signed(&[NAME])).await;
    assert_eq!(postgres.attempt("sslmode=require").await, Ok(()));
    let ca = postgres.file("ca.pem", &postgres.ca);
    let fault = postgres.attempt(&format!("sslmode=verify-full&sslrootcert={}", ca.display())).await.unwrap_err();
    assert!(fault.contains("invalid peer certificate"), "{fault}");
}
