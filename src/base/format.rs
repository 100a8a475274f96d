//! The two formats of the specifications.

/// How a document is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// JSON.
    Json,
    /// XML.
    Xml,
}

impl Format {
    /// From its name in `notificationFormat`.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "JSON" => Some(Format::Json),
            "XML" => Some(Format::Xml),
            _ => None,
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Format::Json => "JSON",
            Format::Xml => "XML",
        }
    }
}
