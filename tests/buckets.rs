//! Buckets as an operator wants them: names that are reserved, and a region that has to be named, at every way in.

use tests::{Cluster, Endpoint, Options, Request};

const SETTINGS: &str =
    "[store]\nreserved_prefixes = [\"sys-\"]\nreserved_names = [\"admin\"]\nrequire_location = true\n";

fn located(location: &str) -> String {
    format!(
        "<CreateBucketConfiguration><LocationConstraint>{location}</LocationConstraint></CreateBucketConfiguration>"
    )
}

#[tokio::test]
async fn an_operator_reserves_names_and_has_regions_named() {
    let cluster = Cluster::start_with(Options::settings(SETTINGS)).await;
    let away = |endpoint: Endpoint| cluster.client("las1", endpoint).under(endpoint.host("ord1"));
    let ways = [
        cluster.standard("ord1"),
        cluster.client("ord1", Endpoint::Accelerated),
        away(Endpoint::Standard),
        away(Endpoint::Accelerated),
    ];
    for (index, way) in ways.iter().enumerate() {
        let create = async |name: &str, document: String| {
            way.send(Request::new("PUT", format!("/{name}")).body(document)).await.refusal()
        };
        for name in ["sys-", "sys-a", "admin"] {
            let refused = create(name, located("ord1")).await;
            assert_eq!(refused, (400, "InvalidBucketName".into()), "way {index}: {name}");
        }
        for name in ["sys", "asys-a", "admins", "admi"] {
            assert_eq!(create(name, located("ord1")).await.0, 200, "way {index}: {name}");
            assert_eq!(way.send(Request::new("DELETE", format!("/{name}"))).await.status, 204);
        }
        let elsewhere = (400, "IllegalLocationConstraintException".to_owned());
        for document in [String::new(), located(""), located("las1"), located("us-east-1")] {
            assert_eq!(create("data", document.clone()).await, elsewhere, "way {index}: {document}");
        }
        assert_eq!(way.send(Request::new("HEAD", "/data")).await.status, 404, "way {index}");
        for location in ["ord1", "default"] {
            assert_eq!(create("data", located(location)).await.0, 200, "way {index}: {location}");
            let told = way.send(Request::new("GET", "/data?location")).await.ok();
            assert!(told.text().contains(">ord1</LocationConstraint>"), "way {index}: {}", told.text());
            assert_eq!(way.send(Request::new("DELETE", "/data")).await.status, 204);
        }
    }
}
