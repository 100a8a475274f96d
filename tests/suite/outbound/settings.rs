use std::process::Stdio;

use serde_json::json;
use tocsin::config::{Config, DatabaseArgs, ServeArgs};
use tokio::process::Command;

use super::keys::{P256, RSA};
use super::*;

/// Why there are no senders for this section `[push]`.
fn fault(section: &str) -> String {
    let push: Push = toml::from_str(section).unwrap();
    format!("{:#}", Senders::new(&push, false).err().unwrap_or_else(|| panic!("{section} is taken")))
}

fn account(private_key: &str) -> String {
    json!({ "project_id": "p", "client_email": "e", "token_uri": "http://t/", "private_key": private_key }).to_string()
}

#[test]
fn a_key_file_of_no_use_is_told_by_its_setting_and_not_quoted() {
    let files = Files::new();
    let put = |name: &str, text: &str| files.put(name, text).display().to_string();
    let not_json = put("not_json", "\"hush\"");
    let no_key = put("no_key", &account("hush"));
    let wrong_kind = put("wrong_kind", &account(&P256.pem));
    let rsa = put("rsa", &RSA.pem);
    let (hush, empty) = (put("hush", "hush"), put("empty", " \n"));
    let apns = |file: &str| format!("apns = {{ key_file = '{file}', key_id = 'k', team_id = 't', topic = 'x' }}");
    let wns = |file: &str| format!("wns = {{ client_id = 'c', client_secret_file = '{file}' }}");
    let oma_push = |more: &str| format!("oma_push = {{ ppg_url = 'http://ppg/', address_domain = 'd', {more} }}");
    let table = [
        ("fcm.key_file = '/nowhere/key'".to_owned(), "push.fcm.key_file: cannot read /nowhere/key"),
        (format!("fcm.key_file = '{not_json}'"), "push.fcm.key_file: not the JSON key"),
        (format!("fcm.key_file = '{no_key}'"), "push.fcm.key_file: its private_key"),
        (format!("fcm.key_file = '{wrong_kind}'"), "push.fcm.key_file: its private_key"),
        (apns("/nowhere/key"), "push.apns.key_file: cannot read"),
        (apns(&hush), "push.apns.key_file: not a private key"),
        (apns(&rsa), "push.apns.key_file: not a private key"),
        (wns("/nowhere/key"), "push.wns.client_secret_file: cannot read"),
        (wns(&empty), "push.wns.client_secret_file"),
        (oma_push(&format!("user_file = '{hush}'")), "push.oma_push: user_file and password_file"),
        (oma_push(&format!("user_file = '{hush}', password_file = '/nowhere'")), "push.oma_push.password_file"),
        (oma_push("application_id_default = \"a\\nb\""), "push.oma_push.application_id_default"),
        ("oma_push = { ppg_url = 'http://me:hush@ppg/', address_domain = 'd' }".to_owned(), "push.oma_push.ppg_url"),
        ("oma_push = { ppg_url = 'ftp://ppg/', address_domain = 'd' }".to_owned(), "push.oma_push.ppg_url"),
    ];
    for (section, expected) in table {
        let fault = fault(&section);
        assert!(fault.contains(expected), "{section}: {fault}");
        assert!(!fault.replace(&hush, "").contains("hush"), "{fault}");
    }
}

#[test]
fn what_has_no_settings_is_not_offered() {
    let senders = Senders::new(&Push::default(), false).unwrap();
    assert_eq!(senders.native_offered(), []);
    assert_eq!(senders.oma_push_bytes_max(), None);
    let files = Files::new();
    let key = files.put("key", &P256.pem).display().to_string();
    let apns = format!("apns = {{ key_file = '{key}', key_id = 'k', team_id = 't', topic = 'x' }}");
    let senders = Senders::new(&toml::from_str(&apns).unwrap(), false).unwrap();
    assert_eq!(senders.native_offered(), [Native::Apns]);
}

#[tokio::test]
async fn a_bearer_that_is_not_offered_refuses() {
    let senders = Senders::new(&Push::default(), false).unwrap();
    for subtype in [Native::Gcm, Native::Apns, Native::Wns] {
        let outcome = senders.push_native(subtype, "x", &message()).await;
        assert_eq!(why(&outcome), format!("{subtype} is not configured"));
    }
    assert_eq!(kind(&senders.push_oma("+1", None, &message()).await), "refused");
}

#[test]
fn the_file_and_the_flag_are_read() {
    let files = Files::new();
    let text = "allow_private_targets = true\n[push]\ntimeout_seconds = 5\n[push.webhook]\ntimeout_seconds = 6\n";
    let args = |allow_private_targets| ServeArgs {
        database: DatabaseArgs { config: Some(files.put("tocsin.toml", text)), ..Default::default() },
        allow_private_targets,
        ..Default::default()
    };
    let config = Config::resolve(args(None)).unwrap();
    assert_eq!((config.push.timeout_seconds, config.push.webhook.timeout_seconds), (5, 6));
    assert!(config.allow_private_targets);
    assert!(!Config::resolve(args(Some(false))).unwrap().allow_private_targets, "the flag wins");
    assert!(!Config::resolve(ServeArgs::default()).unwrap().allow_private_targets);
}

#[tokio::test]
async fn the_server_does_not_start_with_a_key_file_of_no_use() {
    let files = Files::new();
    let config = files.put("tocsin.toml", "[push.fcm]\nkey_file = '/nowhere/key'\n");
    let output = Command::new(env!("CARGO_BIN_EXE_tocsin"))
        .args(["serve", "--allow-private-targets", "--listen", "127.0.0.1:0", "--config"])
        .arg(config)
        .arg("--data-dir")
        .arg(files.0.path().join("data"))
        .stdin(Stdio::null())
        .env_remove("DATABASE_URL")
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("push.fcm.key_file"), "{output:?}");
}
