//! Finding the installed Postgres. Debian keeps `initdb` and `postgres` off the PATH, Homebrew keeps
//! every major version in a place of its own, and an existing cluster only runs with its own major.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{bail, ensure};

/// The majors that the SQL of this project is tested with.
const MAJORS: std::ops::RangeInclusive<u32> = 14..=18;

/// Where packages put one directory per major version: the parent, how the names begin, what is
/// below them.
const PACKAGED: [(&str, &str, &str); 4] = [
    ("/usr/lib/postgresql", "", "bin"),         // Debian, Ubuntu
    ("/usr", "pgsql-", "bin"),                  // the RPMs of postgresql.org
    ("/opt/homebrew/opt", "postgresql", "bin"), // Homebrew on Apple silicon
    ("/usr/local/opt", "postgresql", "bin"),    // Homebrew on Intel
];

/// A directory that holds both `postgres` and `initdb`, and the major version of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Binaries {
    dir: PathBuf,
    major: u32,
}

impl Binaries {
    /// The binaries for a cluster of this major version, or for a new cluster when there is none:
    /// then what the PATH names wins, because that is what the person at the machine chose.
    pub(super) fn find(cluster_major: Option<u32>) -> anyhow::Result<Binaries> {
        choose(installed(), cluster_major)
    }

    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

fn choose(installed: Vec<Binaries>, cluster_major: Option<u32>) -> anyhow::Result<Binaries> {
    ensure!(
        !installed.is_empty(),
        "no Postgres found on this machine. Install it (Debian and Ubuntu: `apt-get install \
         postgresql`, macOS: `brew install postgresql`), or set DATABASE_URL to a database to use"
    );
    let found: Vec<String> = installed.iter().map(|it| format!("{} in {}", it.major, it.dir.display())).collect();
    let wanted = |it: &Binaries| match cluster_major {
        Some(major) => it.major == major && MAJORS.contains(&major),
        None => MAJORS.contains(&it.major),
    };
    match (installed.into_iter().find(wanted), cluster_major) {
        (Some(binaries), _) => Ok(binaries),
        (None, Some(major)) => bail!(
            "the cluster was made by Postgres {major}, and this machine has {}: install Postgres \
             {major} (`apt-get install postgresql-{major}`, `brew install postgresql@{major}`), or \
             convert the cluster with pg_upgrade",
            found.join(", ")
        ),
        (None, None) => bail!(
            "Postgres {} to {} are supported, and this machine has {}: install one of those, or \
             set DATABASE_URL to a database to use",
            MAJORS.start(),
            MAJORS.end(),
            found.join(", ")
        ),
    }
}

/// All usable directories, the preferred first, none twice.
fn installed() -> Vec<Binaries> {
    let mut found: Vec<Binaries> = Vec::new();
    for dir in on_the_path().into_iter().chain(from_pg_config()).chain(packaged()) {
        if found.iter().all(|it| it.dir != dir)
            && let Some(major) = major_of(&dir)
        {
            found.push(Binaries { dir, major });
        }
    }
    found
}

/// `/usr/local/bin/postgres` is often a link: what belongs to it lies beside its target.
fn on_the_path() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .filter_map(|dir| Some(dir.join("postgres").canonicalize().ok()?.parent()?.to_owned()))
        .collect()
}

fn from_pg_config() -> Option<PathBuf> {
    let dir = output_of(Path::new("pg_config"), "--bindir")?;
    PathBuf::from(dir.trim()).canonicalize().ok()
}

/// The newest major first within each packager's directory.
fn packaged() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for (parent, prefix, below) in PACKAGED {
        let mut versions: Vec<(u32, PathBuf)> = fs::read_dir(parent)
            .into_iter()
            .flatten()
            .filter_map(|entry| {
                let entry = entry.ok()?;
                let name = entry.file_name().into_string().ok()?;
                let version = name.strip_prefix(prefix)?.trim_start_matches('@');
                // Homebrew's `postgresql` without a version is a link to the newest.
                let version = if version.is_empty() { u32::MAX } else { version.parse().ok()? };
                Some((version, entry.path().join(below).canonicalize().ok()?))
            })
            .collect();
        versions.sort_by(|left, right| right.cmp(left));
        found.extend(versions.into_iter().map(|(_, dir)| dir));
    }
    found
}

/// None unless both programs are there: packages of clients have neither, or only one.
fn major_of(dir: &Path) -> Option<u32> {
    if !dir.join("initdb").is_file() {
        return None;
    }
    parse_major(&output_of(&dir.join("postgres"), "--version")?)
}

fn output_of(program: &Path, argument: &str) -> Option<String> {
    let output = Command::new(program).arg(argument).stderr(Stdio::null()).output().ok()?;
    String::from_utf8(output.stdout).ok().filter(|_| output.status.success())
}

/// `postgres (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)`, or `18beta1`.
fn parse_major(version: &str) -> Option<u32> {
    let number = version.split_once("(PostgreSQL)")?.1.trim_start();
    let digits = number.find(|c: char| !c.is_ascii_digit()).unwrap_or(number.len());
    number[..digits].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(dir: &str, major: u32) -> Binaries {
        Binaries { dir: PathBuf::from(dir), major }
    }

    #[test]
    fn versions_are_read_as_the_distributions_write_them() {
        assert_eq!(parse_major("postgres (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)"), Some(15));
        assert_eq!(parse_major("postgres (PostgreSQL) 18beta1\n"), Some(18));
        assert_eq!(parse_major("postgres: command not found"), None);
    }

    #[test]
    fn an_existing_cluster_gets_its_own_major_even_if_another_comes_first() {
        let installed = vec![at("/a", 17), at("/b", 15)];
        assert_eq!(choose(installed.clone(), Some(15)).unwrap(), at("/b", 15));
        assert_eq!(choose(installed.clone(), None).unwrap(), at("/a", 17));
        let refusal = choose(installed, Some(14)).unwrap_err().to_string();
        assert!(refusal.contains("made by Postgres 14"), "{refusal}");
        assert!(refusal.contains("17 in /a, 15 in /b"), "{refusal}");
    }

    #[test]
    fn nothing_installed_names_the_packages_and_the_way_out() {
        let refusal = choose(Vec::new(), None).unwrap_err().to_string();
        for word in ["apt-get install postgresql", "brew install postgresql", "DATABASE_URL"] {
            assert!(refusal.contains(word), "{refusal}");
        }
    }

    #[test]
    fn an_unsupported_major_is_refused_by_name() {
        let refusal = choose(vec![at("/old", 9)], None).unwrap_err().to_string();
        assert!(refusal.contains("9 in /old"), "{refusal}");
    }
}
