//! The server that a command asks, and what a person can do when it says no.

use anyhow::anyhow;

use crate::base::ids::DEFAULT_STORE;
use crate::client::{Client, Error, Token};

/// Where the server is, and for whom we ask.
#[derive(Debug, clap::Args)]
pub(super) struct ServerArgs {
    /// The server
    #[arg(long, env = "TOCSIN_URL", value_name = "URL", default_value = "http://127.0.0.1:8080")]
    server: String,
    /// The store of the box
    #[arg(long, value_name = "STORE", default_value = DEFAULT_STORE)]
    pub store: String,
    /// Access token, when the server asks for one
    #[arg(long, env = "TOCSIN_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// File with the access token, instead; it is read again before the token expires, for whoever renews it
    #[arg(long, env = "TOCSIN_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<std::path::PathBuf>,
}

impl ServerArgs {
    pub(super) fn client(self) -> anyhow::Result<Client> {
        let token = match (self.token, self.token_file) {
            (_, Some(path)) => Token::asked(move || read(path.clone())),
            (Some(token), None) => Token::Fixed(token),
            (None, None) => Token::None,
        };
        Ok(Client::new(&self.server).map_err(|fault| anyhow!("--server: {fault}"))?.with_token(token))
    }
}

async fn read(path: std::path::PathBuf) -> Result<String, Error> {
    match tokio::fs::read_to_string(&path).await {
        Ok(token) => Ok(token.trim().to_owned()),
        Err(fault) => Err(Error::Protocol(format!("--token-file {}: {fault}", path.display()))),
    }
}

/// A fault of the client, and what can be done about it.
pub(super) fn told(fault: &Error) -> anyhow::Error {
    anyhow!("{fault}{}", remedy(fault))
}

fn remedy(fault: &Error) -> &'static str {
    match fault {
        Error::Transport { .. } => " (does it run? --server says where)",
        Error::Protocol(_) => " (is it a tocsin? --server says where)",
        Error::Refused { status: 401, .. } => {
            ": say a good token with --token or TOCSIN_TOKEN (`tocsin token issue` makes one)"
        }
        Error::Refused { status: 403, text, .. } if text.contains("scopes") => {
            ": ask for a token with one of them (`tocsin token issue --scope`)"
        }
        Error::Refused { status: 404, .. } => {
            ": is the box or the user misspelled? To a token, what is not its user's is not there; `tocsin grant` lets it in"
        }
        Error::Refused { status: 429, .. } => ": try again later, or end channels that nobody uses",
        Error::Refused { status: 503, .. } => ": try again later (the server's /readyz says what it waits for)",
        Error::Refused { status: 500.., .. } => ": the server's log says more",
        Error::Refused { .. } => "",
    }
}
