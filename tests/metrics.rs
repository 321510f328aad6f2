//! What a node's `/metrics` said at one moment.

use std::collections::{BTreeMap, BTreeSet};

/// All samples of one scrape.
pub struct Scrape {
    samples: Vec<Sample>,
    families: BTreeSet<String>,
}

struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

impl Scrape {
    /// The samples in Prometheus's text format.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let families = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
        Self {
            families: families.map(str::to_owned).collect(),
            samples: text
                .lines()
                .filter(|line| !line.is_empty() && !line.starts_with('#'))
                .map(sample)
                .collect(),
        }
    }

    /// The sum over all series called `name` that carry each of `labels`.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let carries = |sample: &&Sample| {
            sample.name == name
                && labels
                    .iter()
                    .all(|(label, value)| sample.labels.get(*label).is_some_and(|found| found == value))
        };
        self.samples.iter().filter(carries).map(|sample| sample.value).sum()
    }

    /// The metric names, as their `# TYPE` lines have them.
    #[must_use]
    pub fn families(&self) -> &BTreeSet<String> {
        &self.families
    }
}

fn sample(line: &str) -> Sample {
    let (series, value) = line.rsplit_once(' ').expect("a sample has a value");
    let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
    let labels = labels.trim_end_matches('}');
    Sample {
        name: name.to_owned(),
        labels: labels.split("\",").filter(|pair| !pair.is_empty()).map(label).collect(),
        value: value.parse().expect("a sample's value is a number"),
    }
}

/// One `name="value"`; label values here are closed sets of plain words, so that nothing in them is escaped.
fn label(pair: &str) -> (String, String) {
    let (name, value) = pair.split_once("=\"").expect("a label has a quoted value");
    (name.to_owned(), value.trim_end_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_the_series_that_carry_the_labels() {
        let scrape = Scrape::parse(
            "# HELP a_total Things.\n# TYPE a_total counter\na_total{node=\"ord1\",of=\"x\"} 2\n\
             a_total{node=\"las1\",of=\"x\"} 3\na_total{node=\"ord1\",of=\"y\"} 10\n# TYPE b gauge\nb 1.5\n",
        );
        assert_eq!(scrape.sum("a_total", &[("of", "x")]), 5.0);
        assert_eq!(scrape.sum("a_total", &[("of", "x"), ("node", "las1")]), 3.0);
        assert_eq!(scrape.sum("b", &[]), 1.5);
        assert_eq!(scrape.families().iter().collect::<Vec<_>>(), ["a_total", "b"]);
    }
}
