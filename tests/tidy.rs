//! Rules about the source that a compiler does not know.

use std::path::{Path, PathBuf};

/// Every source file with its module path below src ("delivery/websocket.rs") and its text.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("src can be read") {
            let path = entry.expect("src can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ext| ext == "rs") {
                let name = path.strip_prefix(&root).expect("below src").to_string_lossy().into_owned();
                found.push((name, std::fs::read_to_string(&path).expect("a source file")));
            }
        }
    }
    assert!(found.len() > 30, "the sources were found");
    found
}

/// The code of a file, without its unit tests and comments.
fn code(text: &str) -> impl Iterator<Item = &str> {
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    text.lines().filter(|line| !line.trim_start().starts_with("//"))
}

/// Fails for each line of `within` that mentions `what`, except in files of `but`.
fn only_in(what: &str, within: &str, but: &[&str]) {
    for (name, text) in sources() {
        if !name.starts_with(within) || but.iter().any(|allowed| name.starts_with(allowed)) {
            continue;
        }
        for line in code(&text) {
            assert!(!line.contains(what), "src/{name} must not use {what}: {line}");
        }
    }
}

#[test]
fn imports_go_downwards() {
    // For each part, the parts above it, which it must not know.
    const ABOVE_BASE: [&str; 11] =
        ["postgres", "log", "filter", "subscription", "channel", "store", "wire", "delivery", "http", "app", "cli"];
    let above: &[(&str, &[&str])] = &[
        ("base", &ABOVE_BASE),
        ("postgres", &["log", "filter", "subscription", "channel", "store", "wire", "delivery", "http", "app", "cli"]),
        ("mime", &ABOVE_BASE),
        ("auth", &["log", "filter", "subscription", "channel", "store", "wire", "delivery", "http", "app", "cli"]),
        ("log", &["filter", "subscription", "channel", "store", "wire", "delivery", "http", "app", "cli"]),
        ("filter", &["subscription", "channel", "store", "wire", "delivery", "http", "app", "cli"]),
        ("inbox", &["subscription", "store", "wire", "delivery", "http", "app", "cli"]),
        ("store", &["subscription", "channel", "wire", "delivery", "http", "app", "cli"]),
        ("tables", &["log", "filter", "subscription", "channel", "store", "wire", "delivery", "http", "app", "cli"]),
        ("subscription", &["store", "wire", "delivery", "http", "app", "cli"]),
        ("channel", &["store", "wire", "delivery", "http", "app", "cli"]),
        ("operator", &["store", "wire", "delivery", "http", "app", "cli"]),
        ("wire", &["delivery", "http", "app", "cli"]),
        ("delivery", &["http", "app", "cli"]),
        ("outbound", &ABOVE_BASE),
        ("maintenance", &["delivery", "http", "app", "cli"]),
        ("http", &["app", "cli"]),
        (
            "client",
            &[
                "postgres",
                "log",
                "filter",
                "subscription",
                "channel",
                "store",
                "inbox",
                "delivery",
                "outbound",
                "http",
                "app",
                "cli",
            ],
        ),
    ];
    for (part, forbidden) in above {
        for name in *forbidden {
            only_in(&format!("crate::{name}::"), &format!("{part}/"), &[]);
        }
    }
}

#[test]
fn each_kind_of_effect_has_its_place() {
    only_in("tokio::spawn", "", &["lifecycle.rs"]);
    only_in("axum::", "", &["http/", "app.rs"]);
    only_in(
        "tokio_postgres",
        "",
        &[
            "postgres/",
            "log/",
            "channel/rows.rs",
            "channel/confirm.rs",
            "subscription/rows.rs",
            "inbox/rows.rs",
            "auth/rows.rs",
            "store/rows.rs",
            "store/folders.rs",
            "store/moves.rs",
            "store/search/",
            "tables/rows.rs",
            "operator/rows.rs",
        ],
    );
    for pure in [
        "filter/",
        "mime/",
        "wire/",
        "auth/keys.rs",
        "auth/scope.rs",
        "auth/token.rs",
        "base/crowd.rs",
        "base/rate.rs",
        "channel/cursor.rs",
        "channel/queue.rs",
        "channel/secret.rs",
        "delivery/positions.rs",
    ] {
        only_in("tokio::", pure, &[]);
        only_in(".await", pure, &[]);
    }
    only_in("std::env::", "", &["config/", "postgres/embedded/"]);
}

/// A page, and the places that its links lead to: a file of the repository, and a heading in it, if one is named.
fn links(page: &Path) -> Vec<(PathBuf, Option<String>)> {
    let text = std::fs::read_to_string(page).expect("a page can be read");
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let targets = targets.filter(|target| !target.contains("://"));
    let place = |target: &str| {
        let (file, heading) = target.split_once('#').map_or((target, None), |(file, heading)| (file, Some(heading)));
        let file = if file.is_empty() { page.to_owned() } else { page.parent().expect("in a folder").join(file) };
        (file, heading.map(str::to_owned))
    };
    targets.map(place).collect()
}

/// The anchors of a page's headings.
fn anchors(page: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(page).expect("a page can be read");
    let headings = text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let of_anchor = |c: &char| c.is_alphanumeric() || "-_ ".contains(*c);
    headings.map(|text| text.to_lowercase().chars().filter(of_anchor).collect::<String>().replace(' ', "-")).collect()
}

#[test]
fn every_page_is_reached_from_the_readme_and_every_link_leads_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut reached = vec![root.join("README.md").canonicalize().expect("README.md is there")];
    let mut next = 0;
    while let Some(page) = reached.get(next).cloned() {
        next += 1;
        for (file, heading) in links(&page) {
            let from = page.display();
            let file = file
                .canonicalize()
                .unwrap_or_else(|_| panic!("{from} leads to {}, which is not there", file.display()));
            if let Some(heading) = heading {
                assert!(anchors(&file).contains(&heading), "{from}: {} has no heading #{heading}", file.display());
            }
            if file.extension().is_some_and(|ending| ending == "md") && !reached.contains(&file) {
                reached.push(file);
            }
        }
    }
    let pages =
        std::fs::read_dir(root.join("docs")).expect("docs can be read").map(|entry| entry.expect("docs").path());
    let mut pages = pages.filter(|path| path.extension().is_some_and(|ending| ending == "md")).collect::<Vec<_>>();
    pages.extend(["SECURITY.md", "clients/js/README.md", "examples/README.md"].map(|page| root.join(page)));
    assert!(pages.len() > 12, "{pages:?}");
    for page in pages {
        assert!(reached.contains(&page.canonicalize().expect("it is there")), "{} is not reached", page.display());
    }
}

/// The names of tests in docs/CONFORMANCE.md: what stands in backticks and has a path.
fn tests_named(line: &str) -> Vec<&str> {
    line.split('`').skip(1).step_by(2).filter(|code| code.contains("::")).collect()
}

#[test]
fn each_threat_is_met_by_tests_that_exist() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("SECURITY.md");
    let page = std::fs::read_to_string(page).expect("SECURITY.md can be read");
    let (_, table) = page.split_once("| threat | met by | proved by |").expect("the table of threats");
    let rows = table.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| --- "));
    let rows = rows.collect::<Vec<_>>();
    assert!(rows.len() > 30, "{}", rows.len());
    for row in rows {
        let tests = tests_named(row);
        assert!(!tests.is_empty(), "nothing proves {row}");
        for test in tests.into_iter().filter(|test| !test.starts_with("http::")) {
            assert!(exists(test), "SECURITY.md names {test}, which is not in tests/suite");
        }
    }
}

/// Whether tests/suite has a test of this path.
fn exists(test: &str) -> bool {
    let Some((module, name)) = test.rsplit_once("::") else { return false };
    let suite = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite");
    let module = suite.join(module.replace("::", "/"));
    let files = [module.with_extension("rs"), module.join("mod.rs")];
    let text = files.iter().find_map(|file| std::fs::read_to_string(file).ok()).unwrap_or_default();
    let test = ["#[test]\nfn", "#[test]\n    fn", "#[tokio::test]\nasync fn"].map(|head| format!("{head} {name}("));
    test.iter().any(|test| text.contains(test))
}

#[test]
fn the_tests_that_prove_conformance_exist() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/CONFORMANCE.md");
    let page = std::fs::read_to_string(page).expect("docs/CONFORMANCE.md can be read");
    for test in page.lines().flat_map(tests_named) {
        assert!(exists(test), "docs/CONFORMANCE.md names {test}, which is not in tests/suite");
    }
    // What is not there is proved by nothing.
    let is_claim = |line: &&str| line.starts_with("| ") && !line.starts_with("| --- ") && !line.contains("| no |");
    for row in page.lines().filter(is_claim).filter(|line| !line.ends_with("| proved by |")) {
        assert!(!tests_named(row).is_empty(), "nothing proves {row}");
    }
    let rows = |begin: &str| page.lines().filter(|line| line.starts_with(begin)).collect::<Vec<_>>();
    assert_eq!(rows("| REST-NC-").len(), 22, "each item of Appendix B has its row");
    let resources = rows("| `/");
    assert_eq!(resources.len(), 32, "each verb of each resource of NMS has its row");
    let routes = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http/nms/mod.rs"));
    let routes = routes.expect("the routes can be read");
    for path in routes.split('"').skip(1).step_by(2).filter(|text| text.starts_with('/')) {
        let extension = !rows(&format!("| `GET {path}`")).is_empty();
        let has_row = resources.iter().any(|row| row.starts_with(&format!("| `{path}` |")));
        assert!(has_row || extension, "{path} has no row");
    }
    assert!(!exists("nc::examples::polls::no_such_test") && !exists("no::such::module"));
}

/// The metrics that there are, as `base/metrics.rs` names them.
fn metrics() -> Vec<String> {
    let (_, source) = sources().into_iter().find(|(name, _)| name == "base/metrics.rs").expect("the metrics");
    let source = code(&source).collect::<String>();
    let names = source.split('"').filter(|text| text.starts_with("tocsin_")).map(str::to_owned).collect::<Vec<_>>();
    assert!(names.len() > 35, "{names:?}");
    names
}

#[test]
fn dashboard_and_alerts_use_only_metrics_that_exist() {
    let mut known = metrics();
    // What the format adds to the names of histograms and of what the program is.
    for name in known.clone() {
        known.extend(["bucket", "sum", "count", "info"].map(|ending| format!("{name}_{ending}")));
    }
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    for (file, least) in [("dashboard.json", 30), ("alerts.yml", 15)] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/monitoring").join(file);
        let text = std::fs::read_to_string(path).expect("deploy/monitoring can be read");
        let words = text.split(|c| !is_of_name(c));
        let mut used = words.filter(|word| word.starts_with("tocsin_")).collect::<Vec<_>>();
        used.sort_unstable();
        used.dedup();
        assert!(used.len() >= least, "{file}: {used:?}");
        for name in used {
            assert!(known.iter().any(|known| known == name), "{file} uses {name}, which does not exist");
        }
    }
}

#[test]
fn every_metric_is_explained() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/OPERATIONS.md");
    let page = std::fs::read_to_string(page).expect("docs/OPERATIONS.md can be read");
    let (_, table) = page.split_once("## All figures").expect("the table of all figures");
    for name in metrics() {
        assert!(table.contains(&format!("`{name}")), "docs/OPERATIONS.md says nothing of {name}");
    }
}
