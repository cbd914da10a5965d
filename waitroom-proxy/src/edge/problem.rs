//! Problem documents (RFC 9457): every refusal of the edge, with its status, in one file.

use serde::Serialize;

/// A refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    /// Not your turn yet.
    Waiting,
    /// Several rooms could be meant.
    RoomAmbiguous,
    /// The request can't be understood, or could be understood in two ways.
    BadRequest,
    /// The method is not one that this address answers.
    MethodNotAllowed,
    /// The request's head is too large.
    HeadTooLarge,
    /// No room serves this host.
    UnknownHost,
    /// Too many connections.
    TooMany,
    /// Nothing here.
    NotFound,
    /// The store does not answer.
    StoreUnavailable,
    /// No upstream is well, or none could be connected to.
    UpstreamUnavailable,
    /// The upstream did not answer in time.
    UpstreamTimeout,
    /// The upstream is well and answers none: its answer could not be understood.
    UpstreamBroken,
    /// A fault of ours.
    Internal,
}

#[derive(Serialize)]
struct Document<'d> {
    r#type: &'d str,
    title: &'d str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'d str>,
}

impl ProblemKind {
    /// HTTP status.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::RoomAmbiguous | Self::BadRequest => 400,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::UnknownHost => 421,
            Self::Waiting => 429,
            Self::HeadTooLarge => 431,
            Self::Internal => 500,
            Self::UpstreamBroken => 502,
            Self::TooMany | Self::StoreUnavailable | Self::UpstreamUnavailable => 503,
            Self::UpstreamTimeout => 504,
        }
    }

    /// The `type` of the document, relative as the contract has it.
    #[must_use]
    pub fn kind(self) -> &'static str {
        match self {
            Self::Waiting => "/problems/waiting",
            Self::RoomAmbiguous => "/problems/room-ambiguous",
            Self::BadRequest | Self::HeadTooLarge => "/problems/bad-request",
            Self::MethodNotAllowed => "/problems/method-not-allowed",
            Self::UnknownHost => "/problems/unknown-host",
            Self::TooMany => "/problems/too-many-requests",
            Self::NotFound => "/problems/not-found",
            Self::StoreUnavailable => "/problems/store-unavailable",
            Self::UpstreamUnavailable | Self::UpstreamTimeout | Self::UpstreamBroken => {
                "/problems/upstream-unavailable"
            }
            Self::Internal => "/problems/internal",
        }
    }

    /// What a person reads first.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Waiting => "You are in the queue",
            Self::RoomAmbiguous => "Several rooms could be meant: name one with ?room=",
            Self::BadRequest => "The request can't be understood",
            Self::MethodNotAllowed => "This address does not answer that method",
            Self::HeadTooLarge => "The request head is too large",
            Self::UnknownHost => "This host is not served here",
            Self::TooMany => "Too many connections; try again in a moment",
            Self::NotFound => "There is nothing here",
            Self::StoreUnavailable => "The queue can't be reached; try again in a moment",
            Self::UpstreamUnavailable => "The site can't be reached; try again in a moment",
            Self::UpstreamTimeout => "The site did not answer in time; try again in a moment",
            Self::UpstreamBroken => "The site's answer could not be understood; try again in a moment",
            Self::Internal => "Something went wrong here; try again in a moment",
        }
    }

    /// The document.
    #[must_use]
    pub fn document(self, detail: Option<&str>) -> Vec<u8> {
        let document = Document { r#type: self.kind(), title: self.title(), status: self.status(), detail };
        // Strings and a number always serialise; an empty body with the right status is the fallback.
        serde_json::to_vec(&document).unwrap_or_default()
    }

    /// A page with the same words, for people.
    #[must_use]
    pub fn page(self) -> String {
        format!(
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
             <title>{status}</title><h1>{title}</h1>",
            status = self.status(),
            title = self.title()
        )
    }
}
