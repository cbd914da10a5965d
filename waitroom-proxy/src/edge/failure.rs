//! Which problem a failure of Pingora's is, in the words of the contract. Pure.

use pingora::{Error, ErrorSource, ErrorType};

use super::problem::ProblemKind;

/// What to answer; `None` when nobody is there to read it.
pub(super) fn kind_of(error: &Error) -> Option<ProblemKind> {
    use ErrorType as T;
    match (error.esource(), error.etype()) {
        // Our own word for "no upstream is well".
        (_, T::HTTPStatus(503)) => Some(ProblemKind::UpstreamUnavailable),
        (
            _,
            T::ConnectTimedout
            | T::ConnectRefused
            | T::ConnectNoRoute
            | T::ConnectError
            | T::TLSHandshakeFailure
            | T::TLSHandshakeTimedout
            | T::InvalidCert,
        ) => Some(ProblemKind::UpstreamUnavailable),
        (ErrorSource::Upstream, T::ReadTimedout | T::WriteTimedout) => Some(ProblemKind::UpstreamTimeout),
        (ErrorSource::Upstream, _) => Some(ProblemKind::UpstreamBroken),
        (
            ErrorSource::Downstream,
            T::WriteError | T::ReadError | T::ConnectionClosed | T::ReadTimedout | T::WriteTimedout,
        ) => None,
        (ErrorSource::Downstream, _) => Some(ProblemKind::BadRequest),
        (ErrorSource::Internal | ErrorSource::Unset, _) => Some(ProblemKind::Internal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f21_each_failure_of_an_upstream_has_its_problem() {
        let up = |etype| kind_of(&Error::new_up(etype));
        assert_eq!(up(ErrorType::ConnectRefused), Some(ProblemKind::UpstreamUnavailable));
        assert_eq!(up(ErrorType::ReadTimedout), Some(ProblemKind::UpstreamTimeout));
        assert_eq!(up(ErrorType::InvalidHTTPHeader), Some(ProblemKind::UpstreamBroken));
        assert_eq!(kind_of(&Error::new_down(ErrorType::ConnectionClosed)), None, "nobody is there");
        assert_eq!(kind_of(&Error::new_down(ErrorType::InvalidHTTPHeader)), Some(ProblemKind::BadRequest));
    }
}
