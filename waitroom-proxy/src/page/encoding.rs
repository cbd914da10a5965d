//! The content codings of the waiting page, and the choice between them. Pure.

/// How the bytes of a page are coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// As they are; no `Content-Encoding`.
    Identity,
    /// `Content-Encoding: gzip`.
    Gzip,
}

impl Encoding {
    /// Gzip if the client takes it, else as it is.
    #[must_use]
    pub fn from_accept_encoding(header: &str) -> Self {
        let mut any = false;
        for entry in header.split(',').take(16) {
            let mut parts = entry.split(';');
            let coding = parts.next().unwrap_or("").trim();
            let weight = parts.next().map_or(Some(1000), super::weight_per_mille);
            let wanted = weight.is_some_and(|weight| weight > 0);
            if coding.eq_ignore_ascii_case("gzip") || coding.eq_ignore_ascii_case("x-gzip") {
                return if wanted { Self::Gzip } else { Self::Identity };
            }
            any |= coding == "*" && wanted;
        }
        if any { Self::Gzip } else { Self::Identity }
    }

    /// The value of `Content-Encoding`, where one is due.
    #[must_use]
    pub fn content_encoding(self) -> Option<&'static str> {
        match self {
            Self::Identity => None,
            Self::Gzip => Some("gzip"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_only_where_it_is_taken() {
        for (header, encoding) in [
            ("", Encoding::Identity),
            ("gzip, deflate, br, zstd", Encoding::Gzip),
            ("br;q=1.0, gzip;q=0.8, *;q=0.1", Encoding::Gzip),
            ("GZIP", Encoding::Gzip),
            ("gzip;q=0", Encoding::Identity),
            ("*", Encoding::Gzip),
            ("*, gzip;q=0", Encoding::Identity),
            ("*;q=0", Encoding::Identity),
            ("br", Encoding::Identity),
        ] {
            assert_eq!(Encoding::from_accept_encoding(header), encoding, "{header}");
        }
    }
}
