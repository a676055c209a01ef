//! The forms of the status, and which of them a request asks for.

/// The forms of the status, each with its word in `tblb_status` and in `?format=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A page to read.
    Html,
    /// JSON.
    Json,
    /// Prometheus text.
    Prometheus,
}

impl Format {
    /// Every form with its words.
    pub const ALL: [(&str, Format); 4] = [
        ("html", Format::Html),
        ("json", Format::Json),
        ("prometheus", Format::Prometheus),
        ("text", Format::Prometheus),
    ];

    /// The form of that word.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(word, _)| *word == name).map(|(_, format)| *format)
    }

    /// The form for a request: that of `format=` in its arguments, else what `tblb_status` says, else what its
    /// Accept header asks for, else JSON.
    pub fn for_request(args: &str, configured: Option<Self>, accept: &str) -> Self {
        let asked = args.split('&').find_map(|arg| arg.strip_prefix("format=")).and_then(Self::by_name);
        let accepted = |kind| accept.contains(kind);
        asked.or(configured).unwrap_or_else(|| match () {
            () if accepted("text/html") => Format::Html,
            () if accepted("application/openmetrics-text") || accepted("text/plain") => Format::Prometheus,
            () => Format::Json,
        })
    }

    /// The media type.
    pub fn content_type(self) -> &'static str {
        match self {
            Format::Html => "text/html; charset=utf-8",
            Format::Json => "application/json",
            Format::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// Whether the arguments of a request ask for all models that an engine names.
pub fn wants_all_models(args: &str) -> bool {
    args.split('&').any(|arg| ["models=all", "models=full", "models=1"].contains(&arg))
}
