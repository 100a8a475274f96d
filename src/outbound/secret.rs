//! Secrets, which are never printed.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};

/// A text that Debug does not show.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Secret(Arc<str>);

impl Secret {
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Secret(text.into())
    }

    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Reads a file that a setting names; the error names the setting.
pub(super) fn read(setting: &str, path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("{setting}: cannot read {}", path.display()))
}

/// Reads a secret that a setting names: a file's text without the white space around it.
pub(super) fn read_secret(setting: &str, path: &Path) -> anyhow::Result<Secret> {
    let text = read(setting, path)?;
    match text.trim() {
        "" => bail!("{setting}: {} is empty", path.display()),
        text => Ok(Secret::new(text)),
    }
}
