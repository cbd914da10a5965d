//! What the service says when it says no: the list of problem types with their status codes, and nowhere else.

use axum::http::StatusCode;

/// Every way of saying no.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The body is not JSON.
    MalformedJson,
    /// A valid user token is required.
    Unauthorized,
    /// The wallet does not hold enough.
    InsufficientBalance,
    /// The gateway declined the payment.
    PaymentDeclined,
    /// A valid queue token is required.
    QueueTokenRequired,
    /// The user does not exist.
    UnknownUser,
    /// This turn in the queue has bought all that it may.
    PurchaseLimitReached,
    /// There is no such resource.
    NotFound,
    /// There is no such concert.
    ConcertNotFound,
    /// There is no such schedule.
    ScheduleNotFound,
    /// There are no such seats.
    SeatNotFound,
    /// There is no such section.
    SectionNotFound,
    /// There is no such hold.
    HoldNotFound,
    /// There is no such reservation.
    ReservationNotFound,
    /// The method is not allowed here.
    MethodNotAllowed,
    /// The body came too slowly.
    RequestTimeout,
    /// Seats are taken.
    SeatTaken,
    /// No seats next to each other are free.
    NoAdjacentSeats,
    /// Seats are not on sale.
    SalesNotOpen,
    /// The hold has ended.
    HoldExpired,
    /// The hold was paid for.
    HoldPaid,
    /// The evening has begun.
    CancellationClosed,
    /// The reservation was cancelled.
    ReservationCancelled,
    /// The hold is being paid from another source.
    PaymentInProgress,
    /// A request with this Idempotency-Key is in progress.
    KeyInProgress,
    /// The body is too large.
    BodyTooLarge,
    /// The body must be application/json.
    UnsupportedMediaType,
    /// The body does not fit.
    InvalidBody,
    /// The query does not fit.
    InvalidQuery,
    /// The list of seats does not fit.
    InvalidSeats,
    /// Too many seats for one hold.
    TooManySeats,
    /// The user has all the seats they may have.
    SeatLimitReached,
    /// The amount does not fit.
    InvalidAmount,
    /// The wallet can not hold as much.
    BalanceLimitReached,
    /// This way to pay is not offered.
    PaymentMethodUnavailable,
    /// The Idempotency-Key does not fit.
    InvalidIdempotencyKey,
    /// The Idempotency-Key came with another request before.
    KeyReused,
    /// The user sent too many requests.
    TooManyRequests,
    /// Something went wrong on our side.
    Internal,
    /// Others have the same rows locked; try again.
    Busy,
    /// The database is not available; try again.
    DatabaseUnavailable,
    /// The payment gateway does not answer; try again.
    GatewayUnavailable,
    /// Tokens can not be checked yet; try again.
    KeysUnavailable,
}

impl Kind {
    /// All of them, by status.
    pub const ALL: &[Self] = &[
        Self::MalformedJson,
        Self::Unauthorized,
        Self::InsufficientBalance,
        Self::PaymentDeclined,
        Self::QueueTokenRequired,
        Self::UnknownUser,
        Self::PurchaseLimitReached,
        Self::NotFound,
        Self::ConcertNotFound,
        Self::ScheduleNotFound,
        Self::SeatNotFound,
        Self::SectionNotFound,
        Self::HoldNotFound,
        Self::ReservationNotFound,
        Self::MethodNotAllowed,
        Self::RequestTimeout,
        Self::SeatTaken,
        Self::NoAdjacentSeats,
        Self::SalesNotOpen,
        Self::HoldExpired,
        Self::HoldPaid,
        Self::CancellationClosed,
        Self::ReservationCancelled,
        Self::PaymentInProgress,
        Self::KeyInProgress,
        Self::BodyTooLarge,
        Self::UnsupportedMediaType,
        Self::InvalidBody,
        Self::InvalidQuery,
        Self::InvalidSeats,
        Self::TooManySeats,
        Self::SeatLimitReached,
        Self::InvalidAmount,
        Self::BalanceLimitReached,
        Self::PaymentMethodUnavailable,
        Self::InvalidIdempotencyKey,
        Self::KeyReused,
        Self::TooManyRequests,
        Self::Internal,
        Self::Busy,
        Self::DatabaseUnavailable,
        Self::GatewayUnavailable,
        Self::KeysUnavailable,
    ];

    /// Type, status and title: one line each, so that they can be read as the table that they are.
    #[expect(clippy::too_many_lines, reason = "a table, one entry a kind")]
    const fn parts(self) -> (&'static str, StatusCode, &'static str) {
        match self {
            Self::MalformedJson => ("/problems/malformed-json", StatusCode::BAD_REQUEST, "The body is not JSON."),
            Self::Unauthorized => {
                ("/problems/unauthorized", StatusCode::UNAUTHORIZED, "A valid user token is required.")
            }
            Self::InsufficientBalance => {
                ("/problems/insufficient-balance", StatusCode::PAYMENT_REQUIRED, "The wallet does not hold enough.")
            }
            Self::PaymentDeclined => {
                ("/problems/payment-declined", StatusCode::PAYMENT_REQUIRED, "The payment was declined.")
            }
            Self::QueueTokenRequired => {
                ("/problems/queue-token-required", StatusCode::FORBIDDEN, "A valid queue token is required.")
            }
            Self::UnknownUser => ("/problems/unknown-user", StatusCode::FORBIDDEN, "The user does not exist."),
            Self::PurchaseLimitReached => (
                "/problems/purchase-limit-reached",
                StatusCode::FORBIDDEN,
                "This turn in the queue has bought all that it may.",
            ),
            Self::NotFound => ("/problems/not-found", StatusCode::NOT_FOUND, "There is no such resource."),
            Self::ConcertNotFound => {
                ("/problems/concert-not-found", StatusCode::NOT_FOUND, "There is no such concert.")
            }
            Self::ScheduleNotFound => {
                ("/problems/schedule-not-found", StatusCode::NOT_FOUND, "There is no such schedule.")
            }
            Self::SeatNotFound => ("/problems/seat-not-found", StatusCode::NOT_FOUND, "There are no such seats."),
            Self::SectionNotFound => {
                ("/problems/section-not-found", StatusCode::NOT_FOUND, "There is no such section.")
            }
            Self::HoldNotFound => ("/problems/hold-not-found", StatusCode::NOT_FOUND, "There is no such hold."),
            Self::ReservationNotFound => {
                ("/problems/reservation-not-found", StatusCode::NOT_FOUND, "There is no such reservation.")
            }
            Self::MethodNotAllowed => {
                ("/problems/method-not-allowed", StatusCode::METHOD_NOT_ALLOWED, "The method is not allowed here.")
            }
            Self::RequestTimeout => {
                ("/problems/request-timeout", StatusCode::REQUEST_TIMEOUT, "The body came too slowly.")
            }
            Self::SeatTaken => ("/problems/seat-taken", StatusCode::CONFLICT, "Seats are taken."),
            Self::NoAdjacentSeats => {
                ("/problems/no-adjacent-seats", StatusCode::CONFLICT, "No seats next to each other are free.")
            }
            Self::SalesNotOpen => ("/problems/sales-not-open", StatusCode::CONFLICT, "Seats are not on sale."),
            Self::HoldExpired => ("/problems/hold-expired", StatusCode::CONFLICT, "The hold has ended."),
            Self::HoldPaid => ("/problems/hold-paid", StatusCode::CONFLICT, "The hold was paid for."),
            Self::CancellationClosed => {
                ("/problems/cancellation-closed", StatusCode::CONFLICT, "It is too late to cancel.")
            }
            Self::ReservationCancelled => {
                ("/problems/reservation-cancelled", StatusCode::CONFLICT, "The reservation was cancelled.")
            }
            Self::PaymentInProgress => {
                ("/problems/payment-in-progress", StatusCode::CONFLICT, "The hold is being paid from another source.")
            }
            Self::KeyInProgress => (
                "/problems/idempotency-key-in-progress",
                StatusCode::CONFLICT,
                "A request with this Idempotency-Key is in progress.",
            ),
            Self::BodyTooLarge => ("/problems/body-too-large", StatusCode::PAYLOAD_TOO_LARGE, "The body is too large."),
            Self::UnsupportedMediaType => (
                "/problems/unsupported-media-type",
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "The body must be application/json.",
            ),
            Self::InvalidBody => ("/problems/invalid-body", StatusCode::UNPROCESSABLE_ENTITY, "The body does not fit."),
            Self::InvalidQuery => {
                ("/problems/invalid-query", StatusCode::UNPROCESSABLE_ENTITY, "The query does not fit.")
            }
            Self::InvalidSeats => {
                ("/problems/invalid-seats", StatusCode::UNPROCESSABLE_ENTITY, "The list of seats does not fit.")
            }
            Self::TooManySeats => {
                ("/problems/too-many-seats", StatusCode::UNPROCESSABLE_ENTITY, "Too many seats for one hold.")
            }
            Self::SeatLimitReached => (
                "/problems/seat-limit-reached",
                StatusCode::UNPROCESSABLE_ENTITY,
                "The user has all the seats they may have.",
            ),
            Self::InvalidAmount => {
                ("/problems/invalid-amount", StatusCode::UNPROCESSABLE_ENTITY, "The amount does not fit.")
            }
            Self::BalanceLimitReached => (
                "/problems/balance-limit-reached",
                StatusCode::UNPROCESSABLE_ENTITY,
                "The wallet can not hold as much.",
            ),
            Self::PaymentMethodUnavailable => (
                "/problems/payment-method-unavailable",
                StatusCode::UNPROCESSABLE_ENTITY,
                "This way to pay is not offered.",
            ),
            Self::InvalidIdempotencyKey => (
                "/problems/invalid-idempotency-key",
                StatusCode::UNPROCESSABLE_ENTITY,
                "The Idempotency-Key does not fit.",
            ),
            Self::KeyReused => (
                "/problems/idempotency-key-reused",
                StatusCode::UNPROCESSABLE_ENTITY,
                "The Idempotency-Key came with another request before.",
            ),
            Self::TooManyRequests => {
                ("/problems/too-many-requests", StatusCode::TOO_MANY_REQUESTS, "Too many requests of one user.")
            }
            Self::Internal => {
                ("/problems/internal", StatusCode::INTERNAL_SERVER_ERROR, "Something went wrong on our side.")
            }
            Self::Busy => (
                "/problems/busy",
                StatusCode::SERVICE_UNAVAILABLE,
                "Too many are at work on the same thing; try again.",
            ),
            Self::DatabaseUnavailable => (
                "/problems/database-unavailable",
                StatusCode::SERVICE_UNAVAILABLE,
                "The database is not available; try again.",
            ),
            Self::GatewayUnavailable => (
                "/problems/gateway-unavailable",
                StatusCode::SERVICE_UNAVAILABLE,
                "The payment gateway does not answer; try again.",
            ),
            Self::KeysUnavailable => (
                "/problems/keys-unavailable",
                StatusCode::SERVICE_UNAVAILABLE,
                "Tokens can not be checked yet; try again.",
            ),
        }
    }

    /// The `type`, relative to the service. Never changes.
    pub fn uri(self) -> &'static str {
        self.parts().0
    }

    /// The status code.
    pub fn status(self) -> StatusCode {
        self.parts().1
    }

    /// The `title`: the same for every occurrence.
    pub fn title(self) -> &'static str {
        self.parts().2
    }
}
