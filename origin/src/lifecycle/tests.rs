//! What rules are, and what they say of versions at their time.

use s3s::dto::{BucketLifecycleConfiguration, LifecycleRuleAndOperator, LifecycleRuleFilter, Tag};
use s3s::xml;

use super::*;
use crate::acl::Owner;
use crate::instance::Instance;

const HOUR: u64 = 3600 * 1000;
/// 2026-01-10T00:00:00Z.
const MIDNIGHT: u64 = 1_768_003_200_000;

/// The rules of a document's `Rule` elements. What s3s does not take of a document it answers so itself.
fn read(rules: &str) -> Result<Lifecycle, String> {
    let document = format!("<LifecycleConfiguration>{rules}</LifecycleConfiguration>");
    let mut parser = xml::Deserializer::new(document.as_bytes());
    let configuration: BucketLifecycleConfiguration =
        xml::Deserialize::deserialize(&mut parser).map_err(|_| "MalformedXML".to_owned())?;
    let mut ids = (1..).map(|number| format!("made-{number}"));
    Lifecycle::read(configuration, || ids.next().expect("endless"))
        .map_err(|refused| refused.code().as_str().to_owned())
}

/// One enabled rule of these elements.
fn rule(elements: &str) -> String {
    format!("<Rule><ID>r</ID><Status>Enabled</Status>{elements}</Rule>")
}

/// One that expires objects after a day.
fn of_filter(filter: &str) -> String {
    rule(&format!("{filter}<Expiration><Days>1</Days></Expiration>"))
}

fn rules(elements: &str) -> Lifecycle {
    read(elements).expect("rules")
}

fn head(modified_millis: u64) -> Head {
    let id = Instance::from_bytes([1; 16]);
    Head { modified_millis, bytes: 100, ..Head::new(id, id) }
}

fn tags(pairs: &[(&str, &str)]) -> Tags {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn a_document_is_refused_for_what_s3_refuses_it_for() {
    let all = "<Filter/>";
    let days = |days: i32| format!("<Expiration><Days>{days}</Days></Expiration>");
    let one = days(1);
    let of_rule = |elements: String| rule(&elements);
    let date = |date: &str| rule(&format!("{all}<Expiration><Date>{date}</Date></Expiration>"));
    let noncurrent = |elements: &str| {
        rule(&format!("{all}<NoncurrentVersionExpiration>{elements}</NoncurrentVersionExpiration>"))
    };
    let abort = |days: i32| {
        format!(
            "<AbortIncompleteMultipartUpload><DaysAfterInitiation>{days}</DaysAfterInitiation></AbortIncompleteMultipartUpload>"
        )
    };
    let lone = "<Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>";
    let tag = "<Filter><Tag><Key>k</Key><Value>v</Value></Tag></Filter>";
    let sized = "<Filter><ObjectSizeGreaterThan>1</ObjectSizeGreaterThan></Filter>";
    let named = |id: &str| format!("<Rule><ID>{id}</ID><Status>Enabled</Status>{all}{one}</Rule>");
    let thousand: String = (0..1000).map(|number| named(&number.to_string())).collect();
    for (rules, expected) in [
        // How many there are and what they are called.
        (String::new(), Err("MalformedXML")),
        (thousand.clone(), Ok(())),
        (thousand + &named("more"), Err("MalformedXML")),
        (named(&"i".repeat(255)), Ok(())),
        (named(&"ä".repeat(255)), Ok(())),
        (named(&"i".repeat(256)), Err("InvalidArgument")),
        (named("a") + &named("a"), Err("InvalidArgument")),
        (named("a") + &named("A"), Ok(())),
        // Whether they hold.
        (format!("<Rule><Status>Disabled</Status>{all}{one}</Rule>"), Ok(())),
        (format!("<Rule><Status>enabled</Status>{all}{one}</Rule>"), Err("MalformedXML")),
        // What they do.
        (of_rule(all.to_owned()), Err("InvalidRequest")),
        (of_rule(format!("{all}{}", days(0))), Err("InvalidArgument")),
        (of_rule(format!("{all}{}", days(-1))), Err("InvalidArgument")),
        (of_rule(format!("{all}{}", days(i32::MAX))), Ok(())),
        (of_rule(format!("{all}<Expiration/>")), Err("MalformedXML")),
        (
            rule(&format!("{all}<Expiration><Days>1</Days><Date>2026-01-10T00:00:00Z</Date></Expiration>")),
            Err("MalformedXML"),
        ),
        (
            rule(&format!(
                "{all}<Expiration><Days>1</Days><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>"
            )),
            Err("MalformedXML"),
        ),
        (date("2026-01-10T00:00:00Z"), Ok(())),
        (date("2026-01-10T00:00:00.000Z"), Ok(())),
        (date("2026-01-10T02:00:00+02:00"), Ok(())),
        (date("2026-01-10T00:00:00+02:00"), Err("InvalidArgument")),
        (date("2026-01-10T00:00:01Z"), Err("InvalidArgument")),
        (date("1969-12-31T00:00:00Z"), Err("InvalidArgument")),
        (noncurrent("<NoncurrentDays>1</NoncurrentDays>"), Ok(())),
        (noncurrent("<NoncurrentDays>0</NoncurrentDays>"), Err("InvalidArgument")),
        (noncurrent(""), Err("MalformedXML")),
        (noncurrent("<NewerNoncurrentVersions>1</NewerNoncurrentVersions>"), Err("MalformedXML")),
        (
            noncurrent(
                "<NoncurrentDays>1</NoncurrentDays><NewerNoncurrentVersions>100</NewerNoncurrentVersions>",
            ),
            Ok(()),
        ),
        (
            noncurrent(
                "<NoncurrentDays>1</NoncurrentDays><NewerNoncurrentVersions>101</NewerNoncurrentVersions>",
            ),
            Err("InvalidArgument"),
        ),
        (
            noncurrent(
                "<NoncurrentDays>1</NoncurrentDays><NewerNoncurrentVersions>0</NewerNoncurrentVersions>",
            ),
            Err("InvalidArgument"),
        ),
        (
            rule(
                "<Prefix/><NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays>\
                 <NewerNoncurrentVersions>1</NewerNoncurrentVersions></NoncurrentVersionExpiration>",
            ),
            Err("InvalidRequest"),
        ),
        (of_rule(format!("{all}{}", abort(1))), Ok(())),
        (of_rule(format!("{all}{}", abort(0))), Err("InvalidArgument")),
        // What an action cannot go with.
        (of_rule(format!("{tag}{lone}")), Err("InvalidRequest")),
        (of_rule(format!("{sized}{lone}")), Err("InvalidRequest")),
        (of_rule(format!("{tag}{}", abort(1))), Err("InvalidRequest")),
        (of_rule(format!("{sized}{}", abort(1))), Err("InvalidRequest")),
        (of_rule(format!("{tag}{one}")), Ok(())),
        // Other storage classes.
        (
            rule(&format!(
                "{all}{one}<Transition><Days>1</Days><StorageClass>GLACIER</StorageClass></Transition>"
            )),
            Err("NotImplemented"),
        ),
        (
            rule(&format!(
                "{all}{one}<Transition><Date>2026-01-10T00:00:01Z</Date><StorageClass>GLACIER</StorageClass></Transition>"
            )),
            Err("InvalidArgument"),
        ),
        (
            rule(&format!(
                "{all}<NoncurrentVersionTransition><NoncurrentDays>1</NoncurrentDays>\
                 <StorageClass>GLACIER</StorageClass></NoncurrentVersionTransition>"
            )),
            Err("NotImplemented"),
        ),
        // What they are about.
        (one.clone(), Err("MalformedXML")),
        (of_filter("<Prefix>a</Prefix><Filter/>"), Err("MalformedXML")),
        (of_filter(&format!("<Prefix>{}</Prefix>", "p".repeat(1024))), Ok(())),
        (of_filter(&format!("<Prefix>{}</Prefix>", "p".repeat(1025))), Err("InvalidRequest")),
        (of_filter("<Filter><ObjectSizeGreaterThan>0</ObjectSizeGreaterThan></Filter>"), Ok(())),
        (
            of_filter("<Filter><ObjectSizeGreaterThan>-1</ObjectSizeGreaterThan></Filter>"),
            Err("InvalidArgument"),
        ),
        (of_filter("<Filter><ObjectSizeLessThan>0</ObjectSizeLessThan></Filter>"), Err("InvalidArgument")),
        (
            of_filter(
                "<Filter><And><ObjectSizeGreaterThan>2</ObjectSizeGreaterThan><ObjectSizeLessThan>2</ObjectSizeLessThan></And></Filter>",
            ),
            Err("InvalidRequest"),
        ),
        (of_filter("<Filter><And><Prefix>a</Prefix></And></Filter>"), Err("MalformedXML")),
        (of_filter("<Filter><And/></Filter>"), Err("MalformedXML")),
        (
            of_filter(
                "<Filter><And><Tag><Key>k</Key><Value>v</Value></Tag><Tag><Key>k</Key><Value>w</Value></Tag></And></Filter>",
            ),
            Err("InvalidTag"),
        ),
        (of_filter("<Filter><Tag><Key></Key><Value>v</Value></Tag></Filter>"), Err("InvalidTag")),
        (
            of_filter(
                "<Filter><Prefix>a</Prefix><And><Prefix>b</Prefix><Tag><Key>k</Key><Value/></Tag></And></Filter>",
            ),
            Err("MalformedXML"),
        ),
        // How much text.
        (
            (0..250)
                .map(|number| {
                    format!(
                        "<Rule><ID>{number}</ID><Status>Enabled</Status><Prefix>{}</Prefix>{one}</Rule>",
                        "p".repeat(1024)
                    )
                })
                .collect(),
            Ok(()),
        ),
        (
            (0..600)
                .map(|number| {
                    format!(
                        "<Rule><ID>{number}</ID><Status>Enabled</Status><Prefix>{}</Prefix>{one}</Rule>",
                        "p".repeat(1024)
                    )
                })
                .collect(),
            Err("InvalidRequest"),
        ),
    ] {
        let rules: String = rules;
        let read = read(&rules).map(drop);
        let shown: String = rules.chars().take(300).collect();
        assert_eq!(read, expected.map_err(str::to_owned), "{shown}");
    }
}

#[test]
fn rules_are_shown_as_they_were_put() {
    let tag = |key: &str| Tag { key: Some(key.to_owned()), value: Some("v".to_owned()) };
    let shown = |filter: &str| rules(&of_filter(filter)).shown().remove(0);
    let bare = shown("<Prefix>a/</Prefix>");
    assert_eq!((bare.prefix.as_deref(), bare.filter), (Some("a/"), None));
    for (filter, expected) in [
        ("<Filter/>", LifecycleRuleFilter::default()),
        (
            "<Filter><Prefix/></Filter>",
            LifecycleRuleFilter { prefix: Some(String::new()), ..LifecycleRuleFilter::default() },
        ),
        (
            "<Filter><Tag><Key>k</Key><Value>v</Value></Tag></Filter>",
            LifecycleRuleFilter { tag: Some(tag("k")), ..LifecycleRuleFilter::default() },
        ),
        (
            "<Filter><And><Prefix>a</Prefix><ObjectSizeLessThan>9</ObjectSizeLessThan>\
             <Tag><Key>k</Key><Value>v</Value></Tag><Tag><Key>l</Key><Value>v</Value></Tag></And></Filter>",
            LifecycleRuleFilter {
                and: Some(LifecycleRuleAndOperator {
                    prefix: Some("a".to_owned()),
                    object_size_less_than: Some(9),
                    tags: Some(vec![tag("k"), tag("l")]),
                    ..LifecycleRuleAndOperator::default()
                }),
                ..LifecycleRuleFilter::default()
            },
        ),
        (
            "<Filter><Prefix>a/</Prefix><Tag><Key>k</Key><Value>v</Value></Tag>\
             <And><Prefix>a</Prefix><Tag><Key>l</Key><Value>v</Value></Tag></And></Filter>",
            LifecycleRuleFilter {
                and: Some(LifecycleRuleAndOperator {
                    prefix: Some("a/".to_owned()),
                    tags: Some(vec![tag("k"), tag("l")]),
                    ..LifecycleRuleAndOperator::default()
                }),
                ..LifecycleRuleFilter::default()
            },
        ),
    ] {
        let rule = shown(filter);
        assert_eq!((rule.prefix, rule.filter), (None, Some(expected)), "{filter}");
    }
    let unnamed =
        rules("<Rule><Status>Enabled</Status><Prefix/><Expiration><Days>1</Days></Expiration></Rule>");
    assert_eq!(unnamed.shown()[0].id.as_deref(), Some("made-1"));
    for text in [
        "<Days>7</Days>",
        "<Date>2026-01-10T00:00:00Z</Date>",
        "<ExpiredObjectDeleteMarker>false</ExpiredObjectDeleteMarker>",
    ] {
        let first = rules(&rule(&format!("<Prefix/><Expiration>{text}</Expiration>")));
        let configuration = BucketLifecycleConfiguration { rules: first.shown() };
        assert_eq!(Lifecycle::read(configuration, String::new).ok(), Some(first), "{text}");
    }
}

#[test]
fn a_filter_matches_what_all_of_it_is_true_of() {
    let object = Head { tags: tags(&[("k", "v"), ("l", "w")]), ..head(0) };
    for (filter, key, matches) in [
        ("<Prefix/>", "a", true),
        ("<Prefix>a/</Prefix>", "a/b", true),
        ("<Prefix>a/</Prefix>", "a", false),
        ("<Filter><Prefix>a</Prefix></Filter>", "ab", true),
        ("<Filter><Tag><Key>k</Key><Value>v</Value></Tag></Filter>", "a", true),
        ("<Filter><Tag><Key>k</Key><Value>w</Value></Tag></Filter>", "a", false),
        ("<Filter><Tag><Key>m</Key><Value>v</Value></Tag></Filter>", "a", false),
        ("<Filter><ObjectSizeGreaterThan>99</ObjectSizeGreaterThan></Filter>", "a", true),
        ("<Filter><ObjectSizeGreaterThan>100</ObjectSizeGreaterThan></Filter>", "a", false),
        ("<Filter><ObjectSizeLessThan>101</ObjectSizeLessThan></Filter>", "a", true),
        ("<Filter><ObjectSizeLessThan>100</ObjectSizeLessThan></Filter>", "a", false),
        (
            "<Filter><And><Tag><Key>k</Key><Value>v</Value></Tag><Tag><Key>l</Key><Value>w</Value></Tag></And></Filter>",
            "a",
            true,
        ),
        (
            "<Filter><And><Tag><Key>k</Key><Value>v</Value></Tag><Tag><Key>l</Key><Value>x</Value></Tag></And></Filter>",
            "a",
            false,
        ),
        ("<Filter><And><Prefix>b</Prefix><Tag><Key>k</Key><Value>v</Value></Tag></And></Filter>", "a", false),
    ] {
        let rules = rules(&of_filter(filter));
        assert_eq!(rules.expiration(key, &object, Day::S3).is_some(), matches, "{filter} {key}");
    }
    let disabled = of_filter("<Prefix/>").replace("Enabled", "Disabled");
    assert_eq!(rules(&disabled).expiration("a", &object, Day::S3), None);
}

#[test]
fn a_day_of_s3_ends_at_midnight_and_a_short_one_when_it_is_over() {
    let short = Day::lasting(Duration::from_secs(10));
    for (day, from, days, expected) in [
        (Day::S3, MIDNIGHT, 1, MIDNIGHT + 24 * HOUR),
        (Day::S3, MIDNIGHT + 1, 1, MIDNIGHT + 48 * HOUR),
        (Day::S3, MIDNIGHT + 10 * HOUR, 3, MIDNIGHT + 96 * HOUR),
        (Day::S3, MIDNIGHT - 1, 1, MIDNIGHT + 24 * HOUR),
        (short, MIDNIGHT + 1, 3, MIDNIGHT + 1 + 30_000),
        (Day::lasting(Duration::from_secs(25 * 3600)), MIDNIGHT + 1, 1, MIDNIGHT + 48 * HOUR),
    ] {
        assert_eq!(day.after(from, days), expected, "{day:?} {from} {days}");
    }
    assert_eq!(Day::S3.after(u64::MAX - 1, u32::MAX), u64::MAX);
}

#[test]
fn an_object_goes_by_the_first_rule_to_act() {
    let named = |id: &str, expiration: &str| {
        format!(
            "<Rule><ID>{id}</ID><Status>Enabled</Status><Prefix/><Expiration>{expiration}</Expiration></Rule>"
        )
    };
    let days = |id, days| named(id, &format!("<Days>{days}</Days>"));
    let date = named("date", "<Date>2026-01-15T00:00:00Z</Date>");
    let lone = named("lone", "<ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker>");
    let object = head(MIDNIGHT);
    for (document, expected) in [
        (days("long", 30) + &days("short", 2), Some(("short", 48 * HOUR))),
        (days("one", 2) + &days("other", 2), Some(("one", 48 * HOUR))),
        (days("long", 30) + &date, Some(("date", 120 * HOUR))),
        (days("short", 2) + &date, Some(("short", 48 * HOUR))),
        (lone.clone(), None),
    ] {
        let rules = rules(&document);
        let due = rules.expiration("a", &object, Day::S3).map(|due| (due.rule_id, due.millis - MIDNIGHT));
        assert_eq!(due, expected, "{document}");
    }
    let of_markers = |document: &str| {
        rules(document).lone_marker_expiration("a", MIDNIGHT, Day::S3).map(|due| due.millis - MIDNIGHT)
    };
    assert_eq!(of_markers(&lone), Some(0));
    assert_eq!(of_markers(&lone.replace("true", "false")), None);
    assert_eq!(of_markers(&days("days", 2)), Some(48 * HOUR));
    assert_eq!(of_markers(&date), None);
    assert_eq!(of_markers(&of_filter("<Filter><Tag><Key>k</Key><Value>v</Value></Tag></Filter>")), None);
}

#[test]
fn a_version_that_is_not_current_goes_by_time_and_number() {
    let document = |filter: &str, kept: &str| {
        rules(&rule(&format!(
            "{filter}<NoncurrentVersionExpiration><NoncurrentDays>2</NoncurrentDays>{kept}</NoncurrentVersionExpiration>"
        )))
    };
    let (object, since_millis) = (head(0), MIDNIGHT);
    let of = |rules: &Lifecycle, head, newer_count| {
        let version = Noncurrent { head, since_millis, newer_count };
        rules.noncurrent_expiration("a", version, Day::S3).map(|due| due.millis - MIDNIGHT)
    };
    let by_time = document("<Filter/>", "");
    assert_eq!(of(&by_time, Some(&object), 0), Some(48 * HOUR));
    assert_eq!(of(&by_time, None, 0), Some(48 * HOUR), "a delete marker that is not current goes as well");
    let by_number = document("<Filter/>", "<NewerNoncurrentVersions>3</NewerNoncurrentVersions>");
    for (newer_count, expected) in [(0, None), (2, None), (3, Some(48 * HOUR)), (9, Some(48 * HOUR))] {
        assert_eq!(of(&by_number, Some(&object), newer_count), expected, "{newer_count}");
    }
    let tagged = document("<Filter><Tag><Key>k</Key><Value>v</Value></Tag></Filter>", "");
    assert_eq!(of(&tagged, Some(&object), 0), None);
    assert_eq!(of(&tagged, None, 0), None);
    assert_eq!(by_time.expiration("a", &object, Day::S3), None, "a current one stays");
}

#[test]
fn an_unfinished_upload_is_aborted_and_nothing_else() {
    let rules = rules(&rule(
        "<Prefix>up/</Prefix><AbortIncompleteMultipartUpload><DaysAfterInitiation>7</DaysAfterInitiation>\
         </AbortIncompleteMultipartUpload>",
    ));
    let due = rules.abortion("up/a", MIDNIGHT + 1, Day::S3);
    assert_eq!(due, Some(Due { millis: MIDNIGHT + 8 * 24 * HOUR, rule_id: "r" }));
    assert_eq!(rules.abortion("down/a", MIDNIGHT, Day::S3), None);
    assert_eq!(rules.expiration("up/a", &head(0), Day::S3), None);
    assert_eq!(rules.prefixes_of_uploads().collect::<Vec<_>>(), ["up/"]);
    assert_eq!(rules.prefixes_of_versions().count(), 0);
}

#[test]
fn the_header_says_when_and_by_which_rule() {
    let id = Instance::from_bytes([3; 16]);
    let owner = Owner { id: "ab".to_owned(), display_name: "somebody".to_owned() };
    let facts = Facts::new(id, id, "somebody", owner);
    let object = head(MIDNIGHT + 1);
    assert_eq!(expiration_header(&facts, "a", &object, Day::S3), None);
    let rules = rules(&of_filter("<Prefix>a</Prefix>").replace("<ID>r</ID>", "<ID>every day/\"1\"</ID>"));
    let facts = Facts { lifecycle: Some(rules), ..facts };
    assert_eq!(
        expiration_header(&facts, "a", &object, Day::S3).as_deref(),
        Some("expiry-date=\"Mon, 12 Jan 2026 00:00:00 GMT\", rule-id=\"every%20day%2F%221%22\"")
    );
    assert_eq!(expiration_header(&facts, "b", &object, Day::S3), None);
}
