//! Request targets in absolute form (RFC 9112 §3.2.2): what clients send that take this for a proxy.
//!
//! `GET http://host/path HTTP/1.1` is read as `GET /path HTTP/1.1` with that host, whatever the `Host` header says, which is
//! what the RFC asks of a server. It is written so before anything parses the head, so that nothing after this knows of two
//! forms: routing, permission and the signature, which is over the path and the host, see one target.
//!
//! A target that is not plainly of this form stays as it was sent, and is refused because it does not begin with a slash.

use bytes::BytesMut;

/// `block`, whose first `head_bytes` are a header block with its empty line, with its target in origin form. It does not
/// become longer.
pub(super) fn in_origin_form(block: BytesMut, head_bytes: usize) -> BytesMut {
    let Some(target) = Target::of(&block[..head_bytes]) else { return block };
    let Some(host) = host_line(&block[..head_bytes], target.path) else { return block };
    let mut written = BytesMut::with_capacity(block.len());
    written.extend_from_slice(&block[..target.start]);
    if block.get(target.path) != Some(&b'/') {
        written.extend_from_slice(b"/");
    }
    written.extend_from_slice(&block[target.path..host.start]);
    written.extend_from_slice(b"Host: ");
    written.extend_from_slice(&block[target.authority..target.path]);
    written.extend_from_slice(&block[host.end..]);
    written
}

/// Where the parts of a target in absolute form begin; each ends where the next one does.
struct Target {
    start: usize,
    authority: usize,
    path: usize,
}

impl Target {
    /// The target of `head`, if it is in absolute form and names a host and nobody's name and password.
    fn of(head: &[u8]) -> Option<Self> {
        let start = 1 + head.iter().position(|&byte| byte == b' ' || byte == b'\n')?;
        let schemes = [&b"http://"[..], b"https://"];
        let is_begun = |scheme: &&[u8]| {
            head[start..].get(..scheme.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(scheme))
        };
        let authority = start + schemes.into_iter().find(is_begun)?.len();
        let is_of_host = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(byte);
        let path = authority + head[authority..].iter().position(|byte| !is_of_host(byte))?;
        (path > authority && b"/? ".contains(&head[path])).then_some(Self { start, authority, path })
    }
}

/// Where the one `Host` header of `head` is, without its line's end; `None` where there is none, or several, or its value
/// goes on in the next line. Headers begin with the line after that of `path`.
fn host_line(head: &[u8], path: usize) -> Option<std::ops::Range<usize>> {
    let mut found = None;
    let mut start = path + head[path..].iter().position(|&byte| byte == b'\n')? + 1;
    for line in head[start..].split_inclusive(|&byte| byte == b'\n') {
        let is_host = line.get(..5).is_some_and(|name| name.eq_ignore_ascii_case(b"host:"));
        let goes_on = line.starts_with(b" ") || line.starts_with(b"\t");
        if goes_on || (is_host && found.is_some()) {
            return None;
        }
        if is_host {
            let text = line.strip_suffix(b"\n").unwrap_or(line);
            found = Some(start..start + text.strip_suffix(b"\r").unwrap_or(text).len());
        }
        start += line.len();
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    fn read(head: &str, body: &str) -> String {
        let block = BytesMut::from(format!("{head}{body}").as_bytes());
        String::from_utf8(in_origin_form(block, head.len()).to_vec()).expect("text")
    }

    #[test]
    fn an_absolute_target_s_host_is_the_request_s() {
        for (sent, read_as) in [
            (
                "GET http://a.example/b/k?x=1 HTTP/1.1\r\nHost: a.example\r\n\r\n",
                "GET /b/k?x=1 HTTP/1.1\r\nHost: a.example\r\n\r\n",
            ),
            (
                "GET HTTPS://a:9000/ HTTP/1.1\r\nA: b\r\nhost:\tc\r\nD: e\r\n\r\n",
                "GET / HTTP/1.1\r\nA: b\r\nHost: a:9000\r\nD: e\r\n\r\n",
            ),
            (
                "PUT http://[::1]:9000/b/%2F//.. HTTP/1.1\nHost: x\n\n",
                "PUT /b/%2F//.. HTTP/1.1\nHost: [::1]:9000\n\n",
            ),
            ("GET http://a HTTP/1.1\r\nHost: \r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
            (
                "GET http://a?list-type=2 HTTP/1.1\r\nHost: a\r\n\r\n",
                "GET /?list-type=2 HTTP/1.1\r\nHost: a\r\n\r\n",
            ),
        ] {
            assert_eq!(read(sent, ""), read_as);
            assert_eq!(
                read(sent, "GET http://b/ Host: c"),
                format!("{read_as}GET http://b/ Host: c"),
                "its body"
            );
            assert!(read_as.len() <= sent.len());
        }
    }

    /// Each of these is for the parsers after this, which refuse whatever does not begin with a slash.
    #[test]
    fn what_is_not_plainly_absolute_stays() {
        for sent in [
            "GET /http://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX: GET http://b/ HTTP/1.1\r\n\r\n",
            "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET  http://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET http:///b HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET http://user:word@a/ HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET http://a#b HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET http://a\rX:/ HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET http://a%2e/ HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET http://a/ HTTP/1.1\r\n\r\n",
            "GET http://a/ HTTP/1.1\r\nX-Host: a\r\n\r\n",
            "GET http://a/ HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n",
            "GET http://a/ HTTP/1.1\r\nHost: a\r\n b\r\n\r\n",
            "Host: http://a/ HTTP/1.1\r\n\r\n",
            "host:x http://a/ HTTP/1.1\r\nA: b\r\n\r\n",
            "\n\n",
            "GET",
            "",
        ] {
            assert_eq!(read(sent, "body"), format!("{sent}body"));
        }
    }

    /// Pieces of heads, put together in any way.
    fn heads() -> impl Strategy<Value = String> {
        let pieces = [
            "GET ",
            "PUT ",
            " HTTP/1.1",
            "http://",
            "HTTPS://",
            "a.b:9000",
            "[::1]",
            "/",
            "/b/k",
            "?x=http://y/",
            "#",
            "@",
            "\r",
            "\n",
            "\r\n",
            "\r\n\r\n",
            "Host: c",
            "host:",
            "X-Host: d",
            " ",
            "\t",
            "é",
        ];
        proptest::collection::vec(select(pieces.to_vec()), 0..16).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        /// Whatever is sent: its lines stay as many, its body stays, it becomes no longer, and what was rewritten once is
        /// in the usual form.
        #[test]
        fn nothing_but_target_and_host_changes(head in heads(), body in heads()) {
            let written = read(&head, &body);
            let lines = |text: &str| text.matches('\n').count();
            prop_assert!(written.ends_with(&body) && written.len() <= head.len() + body.len());
            prop_assert_eq!(lines(&written), lines(&head) + lines(&body));
            let head = &written[..written.len() - body.len()];
            prop_assert_eq!(&read(head, ""), head);
            let others = |text: &str| {
                let lines = text.lines().skip(1).map(str::to_ascii_lowercase);
                lines.filter(|line| !line.starts_with("host:")).collect::<Vec<_>>()
            };
            prop_assert_eq!(others(&written), others(&format!("{head}{body}")));
        }
    }
}
