//! The shipped dashboards show something, and the shipped alerts nothing while all is well: each of their queries is run by a
//! real Prometheus that scraped the regions.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::cluster::{REGIONS, http_client, repository};
use tests::ports::Block;
use tests::process::target_dir;
use tests::{Cluster, Content, MIB, until};

/// How long Prometheus may take to start, scrape twice and have an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

#[tokio::test]
async fn each_query_of_the_cache_dashboard_has_an_answer() {
    let cluster = Cluster::start().await;
    let prometheus = Prometheus::start(&cluster);
    prometheus.wait_for_numbers("sum(up) == 3", &[vec![]]).await;

    let owner = cluster.standard("ord1");
    owner.create_bucket("data").await;
    let _ = owner.put("data", "k", Content::new(1, MIB).all()).await.ok();
    for at in REGIONS {
        let reader = cluster.accelerated(at, "ord1");
        for _ in 0..2 {
            let _ = reader.get("data", "k").await.ok();
        }
    }
    let queries = queries();
    assert!(queries.len() >= 6, "{queries:?}");
    for query in queries {
        // Each node has read an object of ord1, and says so of itself; ord1 has asked no other region for it.
        let of_objects = query.contains("by (node, endpoint, region)");
        let of_questions = query.contains("penstock_origin_seconds");
        let nodes = REGIONS.into_iter().filter(|node| !of_questions || *node != "ord1");
        let wanted = nodes.map(|node| match of_objects {
            true => vec![("node", node), ("endpoint", "accelerated"), ("region", "ord1")],
            false => vec![("node", node)],
        });
        let wanted: Vec<_> = wanted.collect();
        prometheus.wait_for_numbers(&query, &wanted).await;
    }
}

/// Prometheus takes the shipped alerts, asks for nothing that a node does not serve, and none is raised where all is well.
#[tokio::test]
async fn no_alert_is_raised_of_a_healthy_cluster() {
    let cluster = Cluster::start().await;
    let prometheus = Prometheus::start(&cluster);
    prometheus.wait_for_numbers("sum(up) == 3", &[vec![]]).await;
    cluster.standard("ord1").create_bucket("data").await;
    let answered = "sum(penstock_requests_total{status=\"200\"}) > 0";
    prometheus.wait_for_numbers(answered, &[vec![]]).await;

    let rules = fs::read_to_string(repository().join("ops/alerts.yml")).expect("read the alerts");
    let served = cluster.scrape("ord1").await.families().clone();
    let words = rules.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    let asked: BTreeSet<_> = words.filter(|word| word.starts_with("penstock_")).map(str::to_owned).collect();
    assert!(asked.len() >= 6, "{asked:?}");
    assert_eq!(asked.difference(&served).collect::<Vec<_>>(), [""; 0], "asked for, and not served");

    let answer = prometheus.get("rules?type=alert").await.expect("the rules");
    let groups = answer["data"]["groups"].as_array().expect("groups");
    let rules: Vec<_> = groups.iter().flat_map(|group| group["rules"].as_array().expect("rules")).collect();
    assert!(rules.len() >= 7, "{answer}");
    for rule in rules {
        let query = rule["query"].as_str().expect("a rule has a query");
        // A scrape that takes too long makes a node look down for the moment.
        until(&format!("nothing is raised by {query}"), async || {
            let answer = prometheus.ask(query).await;
            answer.is_some_and(|answer| {
                assert_eq!(answer["status"], "success", "{query}: {answer}");
                answer["data"]["result"] == Value::Array(vec![])
            })
        })
        .await;
    }
}

/// The expression of each target of each panel, its interval put in as Grafana would.
fn queries() -> Vec<String> {
    let text =
        fs::read_to_string(repository().join("ops/dashboards/cache.json")).expect("read the dashboard");
    let dashboard: Value = serde_json::from_str(&text).expect("the dashboard is JSON");
    let panels = dashboard["panels"].as_array().expect("a dashboard has panels");
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().expect("a panel has targets"));
    targets
        .map(|target| {
            target["expr"].as_str().expect("a target has a query").replace("$__rate_interval", "1m")
        })
        .collect()
}

/// A Prometheus that scrapes a cluster's regions; it ends with the test.
struct Prometheus {
    child: Child,
    url: String,
    http: reqwest::Client,
    _dir: tempfile::TempDir,
    _ports: Block,
}

impl Prometheus {
    fn start(cluster: &Cluster) -> Self {
        let dir = tempfile::tempdir().expect("a fresh folder");
        let targets =
            REGIONS.map(|region| format!("'{}'", cluster.admin(region).trim_start_matches("http://")));
        let config = format!(
            "global: {{ scrape_interval: 1s, scrape_timeout: 1s }}\n\
             rule_files: [{:?}]\n\
             scrape_configs: [{{ job_name: penstock, static_configs: [{{ targets: [{}] }}] }}]\n",
            repository().join("ops/alerts.yml"),
            targets.join(", ")
        );
        fs::write(dir.path().join("prometheus.yml"), config).expect("write its configuration");
        let ports = Block::take();
        let address = format!("127.0.0.1:{}", ports.first());
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(target_dir().join("clients/tools/usr/bin/prometheus"))
            .arg(format!("--web.listen-address={address}"))
            .arg("--config.file=prometheus.yml")
            .arg("--storage.tsdb.path=data")
            .current_dir(dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("start the Prometheus that tests/run fetches");
        Self { child, url: format!("http://{address}"), http: http_client(), _dir: dir, _ports: ports }
    }

    /// Asks `query` until for each of `wanted` a series with these labels is a number.
    async fn wait_for_numbers(&self, query: &str, wanted: &[Vec<(&str, &str)>]) {
        let deadline = Instant::now() + ANSWER_WITHIN;
        let mut last = Value::Null;
        while Instant::now() < deadline {
            if let Some(answer) = self.ask(query).await {
                assert_eq!(answer["status"], "success", "{query}: {answer}");
                let series = answer["data"]["result"].as_array().expect("a vector");
                let is_number = |series: &Value| {
                    let value = series["value"][1].as_str().and_then(|value| value.parse::<f64>().ok());
                    value.is_some_and(f64::is_finite)
                };
                let numbers: Vec<&Value> = series
                    .iter()
                    .filter(|series| is_number(series))
                    .map(|series| &series["metric"])
                    .collect();
                let has = |labels: &Vec<(&str, &str)>| {
                    numbers.iter().any(|number| labels.iter().all(|(label, value)| number[label] == *value))
                };
                if wanted.iter().all(has) {
                    return;
                }
                last = answer;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("no numbers of {wanted:?} for {query}: {last}");
    }

    /// The answer to `query`, once Prometheus answers at all.
    async fn ask(&self, query: &str) -> Option<Value> {
        let form: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        self.get(&format!("query?query={form}")).await
    }

    async fn get(&self, what: &str) -> Option<Value> {
        let answer = self.http.get(format!("{}/api/v1/{what}", self.url)).send().await.ok()?;
        serde_json::from_slice(&answer.bytes().await.ok()?).ok()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // Already gone is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
