//! E-mail by SMTP.

use std::time::Duration;

use anyhow::Context;
use lettre::message::Mailbox;
use lettre::message::header::ContentType;
use lettre::transport::smtp::authentication::Credentials;
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use uuid::Uuid;

use super::Outcome;
use super::config::{Email, MailTls};
use super::secret::read_secret;

/// The server that takes our mail.
pub struct Mail {
    smtp: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

impl Mail {
    /// Connects with the first mail.
    ///
    /// # Errors
    /// If the password's file cannot be read, or the sender is no address: the text names the setting.
    pub fn new(settings: &Email, timeout: Duration) -> anyhow::Result<Self> {
        let from = settings.from.parse().with_context(|| format!("push.email.from: {}", settings.from))?;
        let server = &settings.server;
        let smtp = match settings.tls {
            MailTls::Tls => AsyncSmtpTransport::<Tokio1Executor>::relay(server)?,
            MailTls::StartTls => AsyncSmtpTransport::<Tokio1Executor>::starttls_relay(server)?,
            MailTls::None => AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(server),
        };
        let mut smtp = smtp.timeout(Some(timeout));
        if let Some(port) = settings.port {
            smtp = smtp.port(port);
        }
        if let (Some(user), Some(file)) = (&settings.user, &settings.password_file) {
            let password = read_secret("push.email.password_file", file)?;
            smtp = smtp.credentials(Credentials::new(user.clone(), password.reveal().to_owned()));
        }
        Ok(Mail { smtp: smtp.build(), from })
    }

    /// One attempt. The same mail sent again has the same Message-ID.
    pub async fn send(&self, to: Mailbox, subject: &str, text: String, id: Uuid) -> Outcome {
        let message = lettre::Message::builder()
            .from(self.from.clone())
            .to(to)
            .message_id(Some(format!("<{id}@{}>", self.from.email.domain())))
            .subject(subject)
            .header(ContentType::TEXT_PLAIN)
            .body(text);
        let message = match message {
            Ok(message) => message,
            Err(fault) => return Outcome::refused(fault),
        };
        match self.smtp.send(message).await {
            Ok(_) => Outcome::Delivered,
            // The server says that it will never take it: the address is wrong.
            Err(fault) if fault.is_permanent() => Outcome::Gone { why: format!("SMTP: {fault}") },
            Err(fault) => Outcome::retry(format!("SMTP: {fault}")),
        }
    }
}
