//! One exposition out of several, of the same metrics with other labels.

/// The text of all, in which each metric is described once and its samples stand together, as `OpenMetrics` wants it.
pub(crate) fn merged<'a>(expositions: impl IntoIterator<Item = &'a str>) -> String {
    let mut metrics: Vec<Metric<'a>> = Vec::new();
    for text in expositions {
        let mut current = None;
        for line in text.lines().filter(|line| *line != END) {
            let described = line.strip_prefix("# ").and_then(|rest| rest.split(' ').nth(1));
            if let Some(name) = described {
                let known = metrics.iter().position(|metric| metric.name == name);
                let place = known.unwrap_or(metrics.len());
                if known.is_none() {
                    metrics.push(Metric { name, description: Vec::new(), samples: Vec::new() });
                }
                current = Some(place);
            }
            let Some(metric) = current.and_then(|place| metrics.get_mut(place)) else { continue };
            if described.is_none() {
                metric.samples.push(line);
            } else if !metric.description.contains(&line) {
                metric.description.push(line);
            }
        }
    }
    let lines = metrics.iter().flat_map(|metric| metric.description.iter().chain(&metric.samples));
    lines.copied().chain([END]).fold(String::new(), |text, line| text + line + "\n")
}

const END: &str = "# EOF";

struct Metric<'a> {
    name: &'a str,
    description: Vec<&'a str>,
    samples: Vec<&'a str>,
}
