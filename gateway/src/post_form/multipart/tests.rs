//! Forms that are cut anywhere, and what is none.

use http::HeaderValue;
use proptest::prelude::*;

use super::*;

fn boundary(content_type: &'static str) -> Result<Boundary, Refusal> {
    Boundary::of(&HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(content_type))]))
}

fn edge() -> Boundary {
    boundary("multipart/form-data; boundary=edge").expect("a boundary")
}

/// Fields, the file's name and its bytes.
type Read = (Vec<(String, String)>, Option<String>, Vec<u8>);

/// What is read of `body`, fed in pieces of `step` bytes.
fn read(body: &[u8], step: usize, sizes: Sizes) -> Result<Read, Refusal> {
    let mut pieces = body.chunks(step);
    let mut prelude = Prelude::new(edge());
    let begun = loop {
        let Some(piece) = pieces.next() else { return Err(prelude.cut_short()) };
        if let Some(begun) = prelude.take(piece)? {
            break begun;
        }
    };
    let (mut file, mut bytes) = (FileBody::new(edge(), sizes), Vec::new());
    file.take(begun.rest, |piece| bytes.extend_from_slice(&piece))?;
    for piece in pieces {
        file.take(Bytes::copy_from_slice(piece), |piece| bytes.extend_from_slice(&piece))?;
    }
    file.finish()?;
    Ok((begun.fields, begun.file_name, bytes))
}

fn code(body: &[u8]) -> String {
    let refusal = read(body, 7, Sizes::ANY).expect_err("refused");
    refusal.code().as_str().to_owned()
}

/// A form of one field and a file, with `file` as its bytes and `end` after them.
fn form(file: &[u8], end: &str) -> Vec<u8> {
    let head = "--edge\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\na\r\nb\r\n\
                --edge\r\nContent-Disposition: form-data; name=\"file\"; filename=\"cat.jpg\"\r\n\
                Content-Type: image/jpeg\r\n\r\n";
    [head.as_bytes(), file, end.as_bytes()].concat()
}

#[test]
fn a_form_is_read_wherever_it_is_cut() {
    let file = b"\r\n--edg\r\n--\r\r\n--edgy\r\n";
    let body = form(file, "\r\n--edge--\r\n");
    for step in 1..=body.len() {
        let (fields, name, bytes) = read(&body, step, Sizes::ANY).expect("a form");
        assert_eq!(fields, [("key".to_owned(), "a\r\nb".to_owned())], "in steps of {step}");
        assert_eq!((name.as_deref(), &bytes[..]), (Some("cat.jpg"), &file[..]), "in steps of {step}");
    }
}

#[test]
fn what_follows_the_file_is_ignored_but_must_end() {
    let field = "\r\n--edge\r\nContent-Disposition: form-data; name=\"submit\"\r\n\r\nUpload\r\n--edge--";
    for end in ["\r\n--edge--", "\r\n--edge--\r\n", "\r\n--edge--\r\nepilogue", field] {
        let (fields, _, bytes) = read(&form(b"meow", end), 5, Sizes::ANY).expect(end);
        assert_eq!((fields.len(), &bytes[..]), (1, &b"meow"[..]), "{end}");
    }
    let long = "x".repeat(FIELDS_BYTES_MAX);
    for end in
        ["", "\r\n", "\r\n--edge", "\r\n--edge-", "\r\n--edge\r\n", "\r\n--edgy--", "\r\n--edge\r\n--edge"]
    {
        assert_eq!(code(&form(b"meow", end)), "MalformedPOSTRequest", "{end}");
    }
    assert_eq!(code(&form(b"meow", &format!("\r\n--edge\r\n{long}\r\n--edge--"))), "MalformedPOSTRequest");
}

#[test]
fn what_is_no_form_is_refused() {
    let part = |disposition: &str| {
        let body = format!(
            "--edge\r\n{disposition}\r\n\r\nv\r\n--edge\r\nContent-Disposition: form-data; \
                            name=file\r\n\r\nx\r\n--edge--"
        );
        read(body.as_bytes(), 9, Sizes::ANY).map(|(fields, ..)| fields[0].0.clone())
    };
    for (disposition, name) in [
        ("Content-Disposition: form-data; name=\"key\"", "key"),
        ("content-disposition:form-data;name=key", "key"),
        ("Content-Disposition: form-data; name=\"k;e=y\"; filename=\"x\"", "k;e=y"),
        ("Content-Disposition: form-data; filename=\"x\"; name=\"key\"; charset=utf-8;", "key"),
        ("Content-Disposition: form-data; name=\"a\\\"b\\\\c\\d\"", "a\"b\\c\\d"),
        ("Content-Type: text/plain\r\nContent-Disposition: form-data; name=\"\u{e9}\"", "\u{e9}"),
    ] {
        assert_eq!(part(disposition).ok().as_deref(), Some(name), "{disposition}");
    }
    for disposition in [
        "",
        "Content-Type: text/plain",
        "Content-Disposition: form-data",
        "Content-Disposition: attachment; name=\"key\"",
        "Content-Disposition: form-data; name",
        "Content-Disposition: form-data; name=\"key",
        "Content-Disposition: form-data; name=\"key\" x",
        "Content-Disposition: form-data; name=\"a\"; name=\"b\"",
        "Content-Disposition: form-data; name=a\r\nContent-Disposition: form-data; name=b",
        "Content-Disposition: form-data; name=a\r\n folded",
    ] {
        let refusal = part(disposition).expect_err(disposition);
        assert_eq!(*refusal.code(), S3ErrorCode::MalformedPOSTRequest, "{disposition}");
    }
    for body in ["", "x", "--edg", "--edgy\r\n", "\r\n--edge\r\n", "--edge x", "--edge\n", "--edge\r\n"] {
        assert_eq!(code(body.as_bytes()), "MalformedPOSTRequest", "{body}");
    }
    assert_eq!(
        code(b"--edge\r\nContent-Disposition: form-data; name=a\r\n\r\n\xff\r\n--edge--"),
        "MalformedPOSTRequest"
    );
    assert_eq!(code(b"--edge--"), "InvalidArgument");
    assert_eq!(
        code(b"--edge\r\nContent-Disposition: form-data; name=a\r\n\r\nv\r\n--edge--"),
        "InvalidArgument"
    );
}

/// The bytes before the file are counted, whatever they are, and none beyond the limit is kept.
#[test]
fn what_comes_before_the_file_is_bounded() {
    let with_value = |bytes: usize| {
        let file = form(b"meow", "\r\n--edge--");
        let field = "--edge\r\nContent-Disposition: form-data; name=\"policy\"\r\n\r\n";
        [field.as_bytes(), &vec![b'x'; bytes], b"\r\n", &file].concat()
    };
    let overhead = with_value(0).len() - "meow\r\n--edge--".len();
    for step in [1000, usize::MAX] {
        assert!(read(&with_value(FIELDS_BYTES_MAX - overhead), step, Sizes::ANY).is_ok(), "{step}");
        let refusal =
            read(&with_value(FIELDS_BYTES_MAX - overhead + 1), step, Sizes::ANY).expect_err("too long");
        assert_eq!(*refusal.code(), S3ErrorCode::MaxPostPreDataLengthExceededError, "{step}");
    }
    let mut endless = Prelude::new(edge());
    let first = endless.take(b"--edge\r\nContent-Disposition: form-data; name=");
    assert!(first.is_ok_and(|begun| begun.is_none()));
    let refused = (0..).find(|_| endless.take(&[b'x'; 1000]).is_err());
    assert_eq!(refused, Some(FIELDS_BYTES_MAX / 1000));
}

#[test]
fn a_file_has_an_allowed_size() {
    let sized = |bytes: usize| {
        let refused = read(&form(&vec![b'x'; bytes], "\r\n--edge--"), 3, Sizes { min: 2, max: 4 }).err();
        refused.map(|refusal| refusal.code().as_str().to_owned())
    };
    assert_eq!((sized(2), sized(4)), (None, None));
    assert_eq!((sized(1).as_deref(), sized(5).as_deref()), (Some("EntityTooSmall"), Some("EntityTooLarge")));
    // What is too large is told before its end.
    let mut file = FileBody::new(edge(), Sizes { min: 0, max: 4 });
    assert!(file.take(Bytes::from_static(b"12345"), |_| ()).is_err());
}

#[test]
fn boundaries_are_what_rfc_2046_says() {
    for good in [
        "multipart/form-data; boundary=edge",
        "multipart/form-data;charset=utf-8;BOUNDARY=\"edge\"",
        "Multipart/Form-Data; boundary= edge ",
    ] {
        assert_eq!(boundary(good).expect(good).delimiter, "\r\n--edge", "{good}");
    }
    for bad in [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=\"edge ",
        "multipart/form-data; boundary=\"edge \"",
        "multipart/form-data; boundary=e<dge",
        "multipart/form-data; boundary=12345678901234567890123456789012345678901234567890123456789012345678901",
    ] {
        assert!(boundary(bad).is_err(), "{bad}");
    }
}

proptest! {
    /// However a body is cut it is read the same, and no bytes make it panic.
    #[test]
    fn cuts_change_nothing(body in "(--edge|\r\n|Content-Disposition: form-data; name=|file|key|\r|-|\"|x){0,24}", step in 1_usize..20) {
        let told = |outcome: Result<Read, Refusal>| outcome.map_err(|refusal| refusal.code().as_str().to_owned());
        let whole = told(read(body.as_bytes(), usize::MAX, Sizes::ANY));
        prop_assert_eq!(told(read(body.as_bytes(), step, Sizes::ANY)), whole);
    }

    /// Every file without the boundary in it comes out as it went in.
    #[test]
    fn files_pass_unchanged(file in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'-'), any::<u8>()], 0..200), step in 1_usize..40) {
        prop_assume!(find(&file, b"\r\n--edge").is_none());
        let (.., bytes) = read(&form(&file, "\r\n--edge--\r\n"), step, Sizes::ANY).expect("a form");
        prop_assert_eq!(bytes, file);
    }
}
