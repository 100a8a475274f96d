//! What people see: bars and colours, on a terminal only.

use std::fs::File;
use std::io::Read;

use nix::pty::{Winsize, openpty};

use super::*;

/// Which of its outputs are a terminal.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    Both,
    Errors,
}

/// Runs it on a terminal of 200 columns: what that shows, and what goes to stdout otherwise.
struct Terminal {
    child: Child,
    seen: tokio::task::JoinHandle<String>,
}

impl Terminal {
    fn run(arguments: &[&str], shown: Shown, environment: &[(&str, &str)]) -> Terminal {
        let size = Winsize { ws_row: 50, ws_col: 200, ws_xpixel: 0, ws_ypixel: 0 };
        let terminal = openpty(&size, None).unwrap();
        let mut command = tocsin(arguments);
        command.env("TERM", "xterm").env_remove("NO_COLOR").envs(environment.iter().copied());
        command.stdout(match shown {
            Shown::Both => terminal.slave.try_clone().unwrap().into(),
            Shown::Errors => Stdio::piped(),
        });
        let child = command.stderr(terminal.slave).spawn().unwrap();
        drop(command); // its ends of the terminal
        let mut master = File::from(terminal.master);
        let seen = tokio::task::spawn_blocking(move || {
            let (mut seen, mut piece) = (Vec::new(), [0; 4096]);
            // An error is the end: nobody has the other side any more.
            while let Ok(count @ 1..) = master.read(&mut piece) {
                seen.extend(&piece[..count]);
            }
            String::from_utf8_lossy(&seen).into_owned()
        });
        Terminal { child, seen }
    }

    async fn ended(self) -> (String, String) {
        let output = timeout(PATIENCE, self.child.wait_with_output()).await.expect("it does not end").unwrap();
        let seen = self.seen.await.unwrap();
        assert_eq!(output.status.code(), Some(0), "{seen}");
        (seen, String::from_utf8(output.stdout).unwrap())
    }
}

#[tokio::test]
async fn long_work_has_a_bar_on_a_terminal_and_none_elsewhere() {
    let database = Database::new().await;
    let here = ["--database-url", database.url()];
    let known = psql(database.url(), "select count(*) from tocsin.migrations").await;
    let migrate = [&["migrate"], &here[..]].concat();
    for shown in [Some(Shown::Both), Some(Shown::Errors), None] {
        psql(database.url(), "drop schema tocsin cascade").await;
        match shown {
            Some(shown) => {
                let (seen, printed) = Terminal::run(&migrate, shown, &[]).ended().await;
                assert!(seen.contains(&format!("1 of {known} migrations: V2__store")), "{seen}");
                assert_eq!(printed.is_empty(), shown == Shown::Both, "{printed}");
                assert!(!printed.contains('█'));
            }
            None => {
                let output = run(&migrate).await;
                let said = String::from_utf8_lossy(&output.stderr);
                assert!(said.contains(&format!("migration V2__store (2 of {known})")), "{said}");
                assert!(!said.contains('\u{1b}') && !said.contains('\r'), "{said:?}");
            }
        }
    }
    write(&database, 300).await;
    let rebuild = [&["rebuild"], &here[..]].concat();
    let (seen, _) = Terminal::run(&rebuild, Shown::Both, &[]).ended().await;
    assert!(seen.contains("300 of 300 events"), "{seen}");
    let json = stdout(&run(&[&rebuild[..], &["--output", "json"]].concat()).await);
    let rebuilt: Value = serde_json::from_str(&json).unwrap();
    assert!(rebuilt.as_array().unwrap().iter().any(|one| one["projection"] == "objects"), "{json}");

    let server = Server::start(&database).await;
    let replay = ["replay", "--server", &server.api.url, "b"];
    let (seen, printed) = Terminal::run(&replay, Shown::Errors, &[]).ended().await;
    assert!(seen.contains("% of the time, 3") && seen.contains(" lists"), "{seen}");
    assert_eq!(printed.lines().flat_map(lists).count(), 300);
    let (seen, _) = Terminal::run(&replay, Shown::Both, &[]).ended().await;
    assert!(seen.contains("notificationList") && !seen.contains("% of the time"), "what it prints is progress enough");
    assert_eq!(String::from_utf8_lossy(&run(&replay).await.stderr), "");
    server.stop().await;
}

#[tokio::test]
async fn colours_are_for_terminals_and_no_color_turns_them_off() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    for (environment, coloured) in [(&[][..], true), (&[("NO_COLOR", "1")], false)] {
        let listen = ["listen", "--server", &server.api.url, "--user", "alice", "--box", "b"];
        let terminal = Terminal::run(&listen, Shown::Both, environment);
        eventually("it is connected", async || {
            (server.api.get("/readyz").await.json()["connections"] == 1).then_some(())
        })
        .await;
        write(&database, 1).await;
        // What it was sent is printed before it can be asked to stop: the Pong comes first, and it prints at once.
        eventually("it has arrived", async || {
            let subscriptions = server.api.get("/nms/v1/default/b/subscriptions").await.json();
            (subscriptions["nmsSubscriptionList"]["subscription"][0]["index"].as_i64() > Some(1)).then_some(())
        })
        .await;
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        kill(Pid::from_raw(terminal.child.id().unwrap().try_into().unwrap()), Signal::SIGINT).unwrap();
        let (seen, _) = terminal.ended().await;
        assert!(seen.contains("changed object"), "a feed is what people get: {seen:?}");
        assert_eq!(seen.contains("\u{1b}["), coloured, "{seen:?}");
    }
    server.stop().await;
}
