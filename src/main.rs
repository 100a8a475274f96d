//! Arguments in, exit code out.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    match tocsin::cli::run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("tocsin: {fault:#}");
            ExitCode::FAILURE
        }
    }
}
