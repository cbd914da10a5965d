//! Paths that could be read in two ways are refused, so that what is matched is what the upstream sees. Pure.

use std::borrow::Cow;

/// Why a path is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPath {
    /// `.` or `..`, however written; also `..;x`, which servlet containers take for `..`.
    #[error("the path has a dot segment")]
    DotSegment,
    /// `//`, also `/;x/`.
    #[error("the path has an empty segment")]
    EmptySegment,
    /// `%2f`.
    #[error("the path has an encoded slash")]
    EncodedSlash,
    /// `\` or `%5c`.
    #[error("the path has a backslash")]
    Backslash,
    /// A raw control character, space or `#`; or `%00`.
    #[error("the path has a character that does not belong there")]
    Character,
    /// `%` without two hexadecimal digits: servers disagree on what it means.
    #[error("the path has a broken percent escape")]
    BrokenEscape,
    /// Belongs elsewhere when decoded once more, or is encoded more often than anybody needs.
    #[error("the path is percent-encoded more than once")]
    EncodedTwice,
    /// Neither a path nor an `http` URL.
    #[error("the request target is not a path")]
    NotAbsolute,
    /// An absolute target and the `Host` header disagree.
    #[error("the request target names another host than the Host header")]
    OtherHost,
}

/// The path, decoded once, if it can be read in one way only. Borrowed when nothing is encoded.
pub(super) fn read(path: &str) -> Result<Cow<'_, [u8]>, BadPath> {
    let bytes = path.as_bytes();
    if bytes.first() != Some(&b'/') {
        return Err(BadPath::NotAbsolute);
    }
    if bytes.iter().any(|b| *b <= b' ' || *b == 0x7f || *b == b'#') {
        return Err(BadPath::Character);
    }
    if !bytes.contains(&b'%') {
        check(bytes)?;
        return Ok(Cow::Borrowed(bytes));
    }
    let decoded = decode(bytes, |_| Err(BadPath::BrokenEscape))?;
    check(&decoded)?;
    Ok(Cow::Owned(decoded))
}

/// One more round of decoding, for upstreams that decode twice. `None`: nothing left to decode.
pub(super) fn read_again(decoded: &[u8]) -> Result<Option<Vec<u8>>, BadPath> {
    if !decoded.contains(&b'%') {
        return Ok(None);
    }
    // Here a lone `%` is text: it stood as `%25` in the path.
    let again = decode(decoded, Ok)?;
    if again.len() == decoded.len() {
        return Ok(None);
    }
    check(&again)?;
    Ok(Some(again))
}

/// Decodes percent escapes; `broken` says what becomes of a `%` that begins none.
fn decode(path: &[u8], broken: fn(u8) -> Result<u8, BadPath>) -> Result<Vec<u8>, BadPath> {
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match (byte, after) {
            (b'%', [high, low, after @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                rest = after;
                out.push(match hex(*high) << 4 | hex(*low) {
                    b'/' => return Err(BadPath::EncodedSlash),
                    0 => return Err(BadPath::Character),
                    other => other,
                });
            }
            (b'%', _) => out.push(broken(byte)?),
            _ => out.push(byte),
        }
    }
    Ok(out)
}

/// Looks at every segment, without its parameters (`;…`): containers drop them before they resolve dots.
fn check(path: &[u8]) -> Result<(), BadPath> {
    if path.contains(&b'\\') {
        return Err(BadPath::Backslash);
    }
    let mut segments = path.split(|b| *b == b'/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let name = segment.split(|b| *b == b';').next().unwrap_or_default();
        match name {
            b"." | b".." => return Err(BadPath::DotSegment),
            // The last one is a trailing slash.
            b"" if segments.peek().is_some() => return Err(BadPath::EmptySegment),
            _ => {}
        }
    }
    Ok(())
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}
