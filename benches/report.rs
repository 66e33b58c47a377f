//! The table of what was measured, kept as JSON between runs.

use std::path::PathBuf;
use std::time::Duration;
use std::{env, fs};

use serde::{Deserialize, Serialize};

use super::chart::Chart;

/// One line of the table.
#[derive(Debug, Serialize, Deserialize)]
pub struct Figure {
    row: u8,
    what: String,
    unit: String,
    service: f64,
    baseline: Option<f64>,
    floor: Option<f64>,
    ratio: Option<f64>,
    goal: String,
    met: Option<bool>,
}

impl Figure {
    pub fn new(row: u8, what: &str, unit: &str, service: f64) -> Self {
        let (what, unit, goal) = (what.to_owned(), unit.to_owned(), String::new());
        Self { row, what, unit, service, baseline: None, floor: None, ratio: None, goal, met: None }
    }

    /// Shown beside it; the last one that is given makes the ratio.
    pub fn baseline(mut self, baseline: f64) -> Self {
        self.baseline = Some(baseline);
        self.ratio = Some(self.service / baseline);
        self
    }

    /// Shown beside it; the last one that is given makes the ratio.
    pub fn floor(mut self, floor: f64) -> Self {
        self.floor = Some(floor);
        self.ratio = Some(self.service / floor);
        self
    }

    /// Shown beside it, where a ratio would say nothing.
    pub fn beside(mut self, baseline: f64) -> Self {
        self.baseline = Some(baseline);
        self
    }

    /// The goal for the ratio or, where there is none, for the figure itself.
    pub fn at_most(mut self, goal: f64) -> Self {
        self.goal = format!("≤ {goal}");
        self.met = Some(self.ratio.unwrap_or(self.service) <= goal);
        self
    }

    /// Likewise.
    pub fn at_least(mut self, goal: f64) -> Self {
        self.goal = format!("≥ {goal}");
        self.met = Some(self.ratio.unwrap_or(self.service) >= goal);
        self
    }

    fn cells(&self) -> [String; 8] {
        let unit = if self.unit.is_empty() { String::new() } else { format!(" {}", self.unit) };
        let with = |value: f64| short(value) + &unit;
        let met = self.met.map_or("", |met| if met { "yes" } else { "no" });
        let maybe = |value: Option<f64>| value.map_or(String::new(), with);
        [
            self.row.to_string(),
            self.what.clone(),
            with(self.service),
            maybe(self.baseline),
            maybe(self.floor),
            self.ratio.map_or(String::new(), short),
            self.goal.clone(),
            met.to_owned(),
        ]
    }
}

/// Three significant digits.
fn short(value: f64) -> String {
    let decimals = match value.abs() {
        0.0 | 100.0.. => 0,
        10.0.. => 1,
        1.0.. => 2,
        _ => 3,
    };
    format!("{value:.decimals$}")
}

/// Everything that is known, this run's and what `--only` left as it was.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Report {
    figures: Vec<Figure>,
    charts: Vec<Chart>,
}

impl Report {
    /// What earlier runs left, if anything.
    pub fn load() -> Self {
        let text = fs::read_to_string(path()).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// A row is measured anew.
    pub fn clear(&mut self, row: u8) {
        self.figures.retain(|figure| figure.row != row);
    }

    pub fn add(&mut self, figure: Figure) {
        println!("  {}", figure.cells().join(" | "));
        self.figures.push(figure);
    }

    pub fn chart(&mut self, chart: Chart) {
        self.charts.retain(|old| old.name != chart.name);
        self.charts.push(chart);
    }

    /// Writes the JSON and the pictures.
    pub fn save(&mut self) {
        self.figures.sort_by_key(|figure| figure.row);
        fs::create_dir_all(path().parent().unwrap()).unwrap();
        fs::write(path(), serde_json::to_string_pretty(self).unwrap()).unwrap();
        for chart in &self.charts {
            let file = format!("{}/benches/{}.svg", env!("CARGO_MANIFEST_DIR"), chart.name);
            fs::write(file, chart.svg()).unwrap();
        }
    }

    /// Markdown that is readable as it is.
    pub fn print(&self) {
        let head = ["", "measured", "service", "baseline", "floor", "ratio", "goal", "met"]
            .map(String::from);
        let mut lines = vec![head];
        lines.extend(self.figures.iter().map(Figure::cells));
        let mut widths = [1; 8];
        for line in &lines {
            for (width, cell) in widths.iter_mut().zip(line) {
                *width = cell.chars().count().max(*width);
            }
        }
        for (n, line) in lines.iter().enumerate() {
            let padded = line.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
            println!("| {} |", padded.collect::<Vec<_>>().join(" | "));
            if n == 0 {
                println!("|-{}-|", widths.map(|width| "-".repeat(width)).join("-|-"));
            }
        }
        println!("\nas JSON: {}", path().display());
    }
}

fn path() -> PathBuf {
    let target = env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target =
        target.unwrap_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/target")));
    target.join("bench/results.json")
}

/// Milliseconds.
pub fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// Of any number of values, none of which is NaN.
pub fn quantile(values: &[f64], percent: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let last = sorted.len() - 1;
    *sorted.get((last * percent + 50) / 100).unwrap()
}
