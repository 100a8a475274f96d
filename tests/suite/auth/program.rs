//! The program, as an operator starts it and as a developer tries it.

use tempfile::TempDir;

use super::*;
use crate::cli::{refused, run, stdout};
use crate::support::client::Socket;
use crate::support::server::Program;

async fn says(arguments: &[&str]) -> String {
    stdout(&run(arguments).await).trim().to_owned()
}

#[tokio::test]
async fn beyond_loopback_without_authentication_it_does_not_start() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:8080"] {
        for auth in [&[][..], &["--auth", "none"]] {
            let output = run(&[&["serve", "--listen", address], auth].concat()).await;
            refused(&output, "refusing to listen on");
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(said.contains("--auth jwt") && said.trim().lines().count() == 1, "{said}");
        }
    }
}

#[tokio::test]
async fn authentication_without_a_key_or_with_a_bad_one_does_not_start() {
    let dir = TempDir::new().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let stem = dir.path().join("k");
    says(&["token", "key", "--out", stem.to_str().unwrap()]).await;
    let private = format!("{}.pem", stem.display());
    let (empty, garbage) =
        (file("empty.pem", ""), file("garbage.pem", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"));
    for (arguments, because) in [
        (vec![], "--jwt-jwks-url, --jwt-key-file or --jwt-secret"),
        (vec!["--jwt-secret", "too short"], "--jwt-secret"),
        (vec!["--jwt-key-file", "/nowhere/key.pem"], "--jwt-key-file /nowhere/key.pem"),
        (vec!["--jwt-key-file", &empty], "no key in PEM"),
        (vec!["--jwt-key-file", &garbage], "not a public key"),
        (vec!["--jwt-key-file", &private], "a private key"),
        (vec!["--jwt-jwks-url", "http://issuer.example/keys", "--jwt-issuer", "x", "--jwt-audience", "y"], "https://"),
        (vec!["--jwt-jwks-url", "https://issuer.example/keys"], "--jwt-issuer and --jwt-audience"),
    ] {
        let output = run(&[&["serve", "--listen", "127.0.0.1:0", "--auth", "jwt"], &arguments[..]].concat()).await;
        refused(&output, because);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!said.contains("too short"), "a secret is never printed: {said}");
    }
}

#[tokio::test]
async fn keys_and_tokens_of_its_own_making_are_good_on_every_address() {
    let (dir, database) = (TempDir::new().unwrap(), Database::new().await);
    for algorithm in ["es256", "eddsa"] {
        let stem = dir.path().join(algorithm).to_str().unwrap().to_owned();
        says(&["token", "key", "--algorithm", algorithm, "--out", &stem]).await;
        refused(&run(&["token", "key", "--out", &stem]).await, "cannot make");
        let mode =
            std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(format!("{stem}.pem")).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
        let serve = ["--auth", "jwt", "--jwt-key-file", &format!("{stem}.pub.pem"), "--jwt-audience", "here"];
        let place = ["--listen", "0.0.0.0:0", "--database-url", database.url()];
        let program = Program::start_with(&[&serve[..], &place].concat()).await;
        let issue = ["token", "issue", "--key", &format!("{stem}.pem"), "--user", "alice", "--audience", "here"];
        let api = program.api.with_token(&says(&issue).await);
        let channel = api.channel("acr:auth").await;
        Socket::open(&channel).await.close().await;
        assert_eq!(program.api.get("/notificationchannel/v1/alice/channels").await.status, StatusCode::UNAUTHORIZED);
        assert_eq!(program.terminate().await, Some(0));
    }
    refused(&run(&["token", "issue", "--key", "/nowhere", "--user", "a"]).await, "cannot read /nowhere");
    let key = dir.path().join("es256.pem").to_str().unwrap().to_owned();
    refused(&run(&["token", "issue", "--key", &key, "--user", "a", "--scope", "oma"]).await, "--scope oma");
}

#[tokio::test]
async fn a_secret_does_as_well_and_the_clients_bring_tokens() {
    let (dir, database) = (TempDir::new().unwrap(), Database::new().await);
    let secret = says(&["token", "secret"]).await;
    assert!(secret.len() >= 32);
    let file = dir.path().join("secret");
    std::fs::write(&file, format!("{secret}\n")).unwrap();
    let config = dir.path().join("tocsin.toml");
    let settings = format!(
        "listen = '127.0.0.1:0'\nauth = 'jwt'\ndatabase_url = '{}'\n[jwt]\nsecret = '{secret}'\n",
        database.url()
    );
    std::fs::write(&config, settings).unwrap();
    let program = Program::start_with(&["--config", config.to_str().unwrap()]).await;
    let token = says(&["token", "issue", "--secret-file", file.to_str().unwrap(), "--user", "alice"]).await;
    let insert = "insert into tocsin.messages (box_id, body) values ('alice', 'hello')";
    database.connect().await.batch_execute(insert).await.unwrap();
    let replay = says(&["replay", "--server", &program.url, "--token", &token, "alice"]).await;
    assert_eq!(replay.matches("nmsEventList").count(), 1, "{replay}");
    refused(&run(&["replay", "--server", &program.url, "alice"]).await, "401");
    let others = run(&["replay", "--server", &program.url, "--token", &token, "bob"]).await;
    assert!(!others.status.success());
    // What is granted on the command line is granted.
    let of = ["--database-url", database.url()];
    assert!(says(&[&["grants"], &of[..]].concat()).await.contains("nothing is granted"));
    let said = says(&[&["grant"], &of[..], &["alice", "box/bob", "read,write"]].concat()).await;
    assert_eq!(said, "alice may read,write box/default/bob");
    says(&["replay", "--server", &program.url, "--token", &token, "bob"]).await;
    assert!(says(&[&["grants"], &of[..]].concat()).await.contains("box/default/bob"));
    says(&[&["revoke"], &of[..], &["alice", "box/bob"]].concat()).await;
    refused(&run(&[&["revoke"], &of[..], &["alice", "box/bob"]].concat()).await, "has no grant");
    assert_eq!(program.terminate().await, Some(0));
}
