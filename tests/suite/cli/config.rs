//! `tocsin config`.

use super::*;

fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

/// The setting of this key.
fn setting<'a>(settings: &'a [Value], key: &str) -> &'a Value {
    settings.iter().find(|setting| setting["key"] == key).unwrap_or_else(|| panic!("{key} is not shown"))
}

#[tokio::test]
async fn each_setting_is_shown_with_its_value_and_where_it_comes_from() {
    let file = file(
        "listen = '127.0.0.1:1'\npublic_url = 'http://file'\ndrain_seconds = 7\ndatabase_url = 'postgres://u:hush@h/d'\n\
         [limits]\npoll_seconds = 9\n[jwt]\nissuer = ['file']\nsecret = 'hush'\n[groups]\neditors = ['alice']\n\
         [push.email]\nserver = 's'\nfrom = 'f'\n",
    );
    let path = file.path().to_str().unwrap();
    let show = async |output: &str| {
        let mut command = tocsin(&["config", "show", "--config", path, "--listen", "127.0.0.1:2", "--output", output]);
        let command = command.env("TOCSIN_LISTEN", "127.0.0.1:3").env("TOCSIN_PUBLIC_URL", "http://environment");
        stdout(&command.env("TOCSIN_JWT_ISSUER", "a,b").output().await.unwrap())
    };
    let settings: Vec<Value> = serde_json::from_str(&show("json").await).unwrap();
    for (key, value, source, from) in [
        ("listen", json!("127.0.0.1:2"), "flag", json!("--listen")),
        ("public_url", json!("http://environment"), "environment", json!("TOCSIN_PUBLIC_URL")),
        ("drain_seconds", json!(7), "file", json!(path)),
        ("limits.poll_seconds", json!(9), "file", json!(path)),
        ("limits.queue_events_max", json!(256), "default", Value::Null),
        ("database_url", json!("postgres://u:***@h/d"), "file", json!(path)),
        ("jwt.secret", json!("***"), "file", json!(path)),
        ("jwt.issuer", json!(["a", "b"]), "environment", json!("TOCSIN_JWT_ISSUER")),
        ("jwt.user_claim", json!("sub"), "default", Value::Null),
        ("tls_cert", Value::Null, "default", Value::Null),
        ("push.email.tls", json!("tls"), "default", Value::Null),
        ("groups", json!({ "editors": ["alice"] }), "file", json!(path)),
    ] {
        let expected = json!({ "key": key, "value": value, "source": source, "from": from });
        assert_eq!(setting(&settings, key), &expected);
    }
    let table = show("table").await;
    assert!(table.lines().any(|line| line.starts_with("public_url ") && line.contains("environment")), "{table}");
    assert!(!table.contains("hush"), "{table}");
}

#[tokio::test]
async fn every_setting_is_on_the_page_of_settings_with_its_default() {
    let pages = ["docs/CONFIGURATION.md", "docs/AUTH.md"].map(|page| format!("{}/{page}", env!("CARGO_MANIFEST_DIR")));
    let pages = pages.map(|page| std::fs::read_to_string(page).unwrap()).join("\n");
    let settings: Vec<Value> =
        serde_json::from_str(&stdout(&run(&["config", "show", "--output", "json"]).await)).unwrap();
    let limits: Vec<_> =
        settings.iter().filter_map(|one| Some((one["key"].as_str()?.strip_prefix("limits.")?, one))).collect();
    assert!(limits.len() > 40, "{limits:?}");
    for (key, setting) in limits {
        assert!(
            pages.contains(&format!("| `{key}` | {} | ", setting["value"])),
            "nothing is said of {key}, or it is wrong"
        );
    }
    let help = stdout(&run(&["serve", "--help"]).await);
    let words = help.split(|c: char| !(c.is_ascii_alphanumeric() || "-_".contains(c)));
    let names: Vec<_> =
        words.filter(|word| word.starts_with("TOCSIN_") || word.starts_with("--") && word.len() > 2).collect();
    assert!(names.len() > 40, "{names:?}");
    for name in names.into_iter().filter(|name| *name != "--help") {
        assert!(pages.contains(&format!("`{name}`")), "nothing is said of {name}");
    }
}

#[tokio::test]
async fn a_check_tells_all_that_is_wrong_and_fails() {
    let good = file("[limits]\npoll_seconds = 9\n");
    let answer = run(&["config", "check", "--config", good.path().to_str().unwrap()]).await;
    assert_eq!(stdout(&answer), "the configuration is good\n");
    let bad = file(
        "lisen = '127.0.0.1:1'\nsecret_key_file = '/nowhere/secret'\ntls_cert = '/nowhere/cert'\ntls_key = '/nowhere/key'\n\
         [limits]\npoll_seconds = 0\nidle_seconds = 'x'\n[push.fcm]\nkey_file = '/nowhere/fcm'\n",
    );
    let path = bad.path().to_str().unwrap();
    let answer = run(&["config", "check", "--config", path, "--listen", "0.0.0.0:80"]).await;
    let faults = [
        "did you mean `listen`?",
        "/nowhere/secret",
        "/nowhere/cert",
        "poll_seconds: at least 1",
        "limits.idle_seconds",
        "push.fcm.key_file",
        "--auth none",
    ];
    for because in faults {
        refused(&answer, because);
    }
    assert_eq!(answer.status.code(), Some(1));
    refused(&run(&["serve", "--config", path]).await, "did you mean `listen`?");
    refused(&run(&["url", "--config", path]).await, "did you mean `listen`?");
}

#[tokio::test]
async fn the_example_is_a_good_configuration() {
    let example = stdout(&run(&["config", "example"]).await);
    assert!(example.contains("#listen = \"127.0.0.1:8080\"\n"), "{example}");
    assert!(example.contains("(--listen, TOCSIN_LISTEN)"), "{example}");
    let file = file(&example);
    let check = run(&["config", "check", "--config", file.path().to_str().unwrap()]).await;
    assert_eq!(stdout(&check), "the configuration is good\n");
}
