//! What the front takes for its own is what Pingora's parser would have read; everything odd is Pingora's.

use proptest::prelude::*;

use super::*;

const POLL: &str = "GET /queue/status?room=a HTTP/1.1\r\nHost: shop.example:8080\r\nCookie: wr_ticket_a=T; b=c\r\n\r\n";

fn plain(head: &str) -> Option<Plain> {
    match judge(head.as_bytes()) {
        Judged::Plain(plain) => Some(plain),
        _ => None,
    }
}

fn other(head: &str) -> bool {
    matches!(judge(head.as_bytes()), Judged::Other)
}

/// A poll with more fields.
fn with(fields: &str) -> String {
    POLL.replace("\r\n\r\n", &format!("\r\n{fields}\r\n\r\n"))
}

#[test]
fn a_poll_is_plain_and_read_as_it_stands() {
    let Plain { parts, len, keep } = plain(&(POLL.to_owned() + "GET /next")).unwrap();
    assert_eq!((parts.method, parts.uri.to_string().as_str()), (Method::GET, "/queue/status?room=a"));
    assert_eq!(parts.headers[HOST], "shop.example:8080");
    assert_eq!(parts.headers[COOKIE], "wr_ticket_a=T; b=c");
    assert_eq!((len, keep), (POLL.len(), true));
    assert!(!plain(&with("connection: Close")).unwrap().keep);
    assert!(plain(&with("Connection: keep-alive")).unwrap().keep);
}

#[test]
fn a_browsers_head_is_plain() {
    let fields = "Connection: keep-alive\r\nsec-ch-ua: \"Chromium\";v=\"140\"\r\nUpgrade-Insecure-Requests: 1\r\n\
                  User-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nAccept: text/html,*/*;q=0.8\r\n\
                  Sec-Fetch-Mode: navigate\r\nAccept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: ko,en;q=0.9";
    let headers = plain(&with(fields)).unwrap().parts.headers;
    assert_eq!(headers[ACCEPT], "text/html,*/*;q=0.8");
    assert_eq!(headers[ACCEPT_ENCODING], "gzip, deflate, br, zstd");
    assert_eq!(headers[ACCEPT_LANGUAGE], "ko,en;q=0.9");
}

#[test]
fn heads_are_awaited_until_they_are_whole() {
    for end in 0..POLL.len() {
        assert!(matches!(judge(&POLL.as_bytes()[..end]), Judged::Partial), "{end}");
        assert!(!may_have_ended(&POLL.as_bytes()[..end], end.saturating_sub(1)), "{end}");
    }
    assert!(may_have_ended(POLL.as_bytes(), POLL.len() - 1) && may_have_ended(b"a\n\n", 2));
}

#[test]
fn refused_heads_that_are_too_large() {
    let long = format!("X-Long: {}", "x".repeat(MAX_HEAD_BYTES));
    assert!(matches!(judge(with(&long).as_bytes()), Judged::TooLarge));
    assert!(
        matches!(judge(&with(&long).as_bytes()[..MAX_HEAD_BYTES + 1]), Judged::TooLarge),
        "not whole, and too much"
    );
    let many = vec!["A: b"; MAX_FIELDS].join("\r\n");
    assert!(matches!(judge(with(&many).as_bytes()), Judged::TooLarge));
}

#[test]
fn refused_to_answer_what_could_be_read_in_two_ways() {
    for fields in [
        "Host: other.example",
        "Content-Length: 0",
        "Content-Length: 5",
        "Transfer-Encoding: chunked",
        "transfer-encoding: identity",
        "Upgrade: websocket",
        "Expect: 100-continue",
        "Trailer: x",
        "TE: trailers",
        "Connection: upgrade",
        "Connection: close, x-queue-ticket",
        "Connection: close\r\nConnection: keep-alive",
        "X-A: b\r\n c",
        "X-A : b",
        "X-A: b\u{1}c",
        "X-A: \u{e9}",
        ": x",
    ] {
        assert!(other(&with(fields)), "{fields:?}");
    }
    for (from, to) in [
        ("GET", "POST"),
        ("GET", "get"),
        ("GET", "OPTIONS"),
        ("GET ", "GET  "),
        ("GET", "\r\nGET"),
        ("1.1", "1.0"),
        ("HTTP/1.1", "HTTP/2.0"),
        ("/queue", "queue"),
        ("/queue", "http://shop.example/queue"),
        ("/queue", "*"),
        ("/status", "/st\\atus"),
        ("/status", "/st#atus"),
        ("/status", "/st\"atus"),
        ("/status", "/st{atus"),
        ("shop.example", "shop.example@evil"),
        ("shop.example", "shop.example, evil"),
        ("shop.example:8080", ""),
        ("Host", "Hosts"),
        ("\r\n", "\n"),
        ("8080\r\n", "8080\n"),
        ("8080\r\n", "8080\r\r\n"),
        ("c\r\n\r\n", "c\r\n\n"),
    ] {
        assert!(other(&POLL.replacen(from, to, if from == "\r\n" { 9 } else { 1 })), "{from:?} as {to:?}");
    }
}

/// Method, target, version and fields.
type Read = (String, String, Option<u8>, Vec<(String, Vec<u8>)>);

/// What Pingora's parser makes of a head.
fn as_pingora_reads(bytes: &[u8]) -> Option<Read> {
    let mut fields = [httparse::EMPTY_HEADER; 256];
    let mut request = httparse::Request::new(&mut fields);
    let httparse::Status::Complete(_) = request.parse(bytes).ok()? else { return None };
    let fields = request.headers.iter().map(|field| (field.name.to_ascii_lowercase(), field.value.to_vec())).collect();
    Some((request.method?.to_owned(), request.path?.to_owned(), request.version, fields))
}

fn pieces() -> impl Strategy<Value = String> {
    let words = vec![
        "GET ",
        "HEAD ",
        "POST ",
        "/queue/status",
        "/",
        "?room=a",
        "%2f",
        "..",
        "#",
        " HTTP/1.1",
        " HTTP/1.0",
        "\r\n",
        "\r\n",
        "\r\n",
        "\n",
        "\r",
        "\r\n\r\n",
        "Host: a.test",
        "Host: b.test:80",
        "host:\ta.test ",
        "Cookie: a=b",
        "Cookie: wr_ticket_a=T",
        "Connection: close",
        "Connection: keep-alive",
        "Content-Length: 1",
        "Upgrade: h2c",
        "Transfer-Encoding: chunked",
        "Accept: text/html",
        "X: \u{7f}",
        " ",
        ":",
        "\0",
        "X-Queue-Ticket: T",
        "é",
    ];
    let head = proptest::collection::vec(proptest::sample::select(words.clone()), 0..8);
    let odd = proptest::collection::vec(proptest::sample::select(words), 0..4);
    (head, odd, 0..4usize).prop_map(|(fields, odd, how)| match how {
        // Anything; a good line and anything; good lines; a good head and something in it.
        0 => fields.concat(),
        1 => format!("GET /x HTTP/1.1\r\n{}", fields.concat()),
        2 => format!("GET /x HTTP/1.1\r\nHost: a.test\r\n{}\r\n\r\n", fields.join("\r\n")),
        _ => format!("GET /x{} HTTP/1.1\r\nHost: a.test{}\r\nCookie: a=b\r\n\r\n", odd.concat(), fields.concat()),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]
    /// Whatever the front answers, Pingora would have read as the same method, target, host and cookies, with no
    /// body and nothing else that counts.
    #[test]
    fn i10_what_the_front_answers_has_one_reading(text in pieces()) {
        if let Judged::Plain(Plain { parts, len, keep }) = judge(text.as_bytes()) {
            let (method, target, version, fields) = as_pingora_reads(text.as_bytes()).unwrap();
            prop_assert_eq!((parts.method.as_str(), version), (method.as_str(), Some(1)));
            prop_assert_eq!(parts.uri.to_string(), target);
            let all = |name: &str| -> Vec<&[u8]> {
                fields.iter().filter(|(field, _)| field == name).map(|(_, value)| value.as_slice()).collect()
            };
            for name in [HOST, COOKIE, ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, ORIGIN, TICKET_HEADER, TOKEN_HEADER] {
                let ours: Vec<&[u8]> = parts.headers.get_all(&name).iter().map(HeaderValue::as_bytes).collect();
                prop_assert_eq!(ours, all(name.as_str()));
            }
            prop_assert_eq!(all("host").len(), 1);
            for name in ["content-length", "transfer-encoding", "upgrade", "expect"] {
                prop_assert!(all(name).is_empty(), "{}", name);
            }
            let closes = all("connection").first().is_some_and(|value| value.eq_ignore_ascii_case(b"close"));
            prop_assert_eq!(keep, !closes);
            prop_assert!(text.as_bytes()[..len].ends_with(b"\r\n\r\n"));
            prop_assert!(!text[..len].replace("\r\n", "").contains(['\r', '\n']));
        }
    }

    #[test]
    fn any_bytes_are_judged(bytes in proptest::collection::vec(any::<u8>(), 0..200), before in 0..300usize) {
        judge(&bytes);
        may_have_ended(&bytes, before);
    }
}

#[test]
fn heads_with_a_session_are_pingoras_unless_they_ask_the_proxy_itself() {
    let shows = |path: &str| POLL.replace("/queue/status?room=a", path).replace("b=c", "wr_token_a=S");
    assert!(other(&shows("/checkout")) && other(&shows("/queued")));
    assert!(plain(&shows("/queue/status?room=a")).is_some(), "a poll of somebody inside");
    let half = shows("/checkout");
    assert!(matches!(judge(&half.as_bytes()[..half.len() - 1]), Judged::Partial), "a glance is at whole heads");
    let many = vec!["A: b"; MAX_FIELDS].join("\r\n");
    let large = shows("/checkout").replace("\r\n\r\n", &format!("\r\n{many}\r\n\r\n"));
    assert!(matches!(judge(large.as_bytes()), Judged::TooLarge), "too large, session or not");
}
