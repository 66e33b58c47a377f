//! Pictures of a row: lines over numbers, or bars over names.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

/// What is drawn as `benches/<name>.svg`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Chart {
    pub name: String,
    pub title: String,
    /// Under the horizontal axis.
    pub x: String,
    /// What the vertical axis counts.
    pub y: String,
    /// Tenfold steps on the vertical axis.
    pub logarithmic: bool,
    /// Where there are any, bars stand over them, and a point's x is an index.
    pub names: Vec<String>,
    pub series: Vec<Series>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Series {
    pub label: String,
    pub points: Vec<(f64, f64)>,
}

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 700.0;
const TOP: f64 = 64.0;
const BOTTOM: f64 = 310.0;
/// Told apart by the colour-blind too.
const COLOURS: [&str; 4] = ["#0072b2", "#e69f00", "#009e73", "#cc79a7"];

impl Series {
    pub fn new(label: &str, points: Vec<(f64, f64)>) -> Self {
        Self { label: label.to_owned(), points }
    }
}

impl Chart {
    /// A white picture with its axes named, fit for any background.
    pub fn svg(&self) -> String {
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             font-family=\"sans-serif\" font-size=\"12\" fill=\"#333\">\n\
             <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n"
        );
        text(&mut svg, LEFT, 22.0, "start", &format!("{} ({})", self.title, self.y));
        text(&mut svg, f64::midpoint(LEFT, RIGHT), BOTTOM + 38.0, "middle", &self.x);
        let (low, high) = self.range();
        for step in self.steps(low, high) {
            let y = self.height(step, low, high);
            writeln!(svg, "<path d=\"M{LEFT} {y:.1}H{RIGHT}\" stroke=\"#ddd\"/>").unwrap();
            text(&mut svg, LEFT - 6.0, y + 4.0, "end", &format!("{step}"));
        }
        if self.names.is_empty() {
            self.lines(&mut svg, low, high);
        } else {
            self.bars(&mut svg, low, high);
        }
        let mut x = LEFT;
        for (series, colour) in self.series.iter().zip(COLOURS) {
            writeln!(
                svg,
                "<rect x=\"{x}\" y=\"36\" width=\"12\" height=\"12\" fill=\"{colour}\"/>"
            )
            .unwrap();
            text(&mut svg, x + 17.0, 46.0, "start", &series.label);
            x += 36.0 + 6.6 * f64::from(u32::try_from(series.label.chars().count()).unwrap());
        }
        svg + "</svg>\n"
    }

    fn lines(&self, svg: &mut String, low: f64, high: f64) {
        let xs = || self.series.iter().flat_map(|series| &series.points).map(|(x, _)| *x);
        let (first, last) = (xs().fold(f64::MAX, f64::min), xs().fold(f64::MIN, f64::max));
        let across = |x| LEFT + (x - first) / (last - first) * (RIGHT - LEFT);
        for n in 0..=5 {
            let x = first + (last - first) * f64::from(n) / 5.0;
            text(svg, across(x), BOTTOM + 18.0, "middle", &format!("{x:.0}"));
        }
        for (series, colour) in self.series.iter().zip(COLOURS) {
            let mut path = String::new();
            for (x, y) in &series.points {
                write!(path, " {:.1},{:.1}", across(*x), self.height(*y, low, high)).unwrap();
            }
            writeln!(
                svg,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
                path.trim()
            )
            .unwrap();
        }
    }

    fn bars(&self, svg: &mut String, low: f64, high: f64) {
        let count = |n: usize| f64::from(u32::try_from(n).unwrap());
        let group = (RIGHT - LEFT) / count(self.names.len());
        let bar = 0.8 * group / count(self.series.len());
        for (n, name) in self.names.iter().enumerate() {
            text(svg, LEFT + group * (count(n) + 0.5), BOTTOM + 18.0, "middle", name);
        }
        for (n, (series, colour)) in self.series.iter().zip(COLOURS).enumerate() {
            for (at, value) in &series.points {
                let x = LEFT + group * (at + 0.1) + bar * count(n);
                let y = self.height(*value, low, high);
                let height = BOTTOM - y;
                writeln!(
                    svg,
                    "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{bar:.1}\" height=\"{height:.1}\" \
                     fill=\"{colour}\"/>"
                )
                .unwrap();
                text(svg, x + bar / 2.0, y - 4.0, "middle", &format!("{value:.1}"));
            }
        }
    }

    fn height(&self, value: f64, low: f64, high: f64) -> f64 {
        let share = if self.logarithmic {
            (value / low).log10() / (high / low).log10()
        } else {
            (value - low) / (high - low)
        };
        BOTTOM - share * (BOTTOM - TOP)
    }

    fn range(&self) -> (f64, f64) {
        let ys = || self.series.iter().flat_map(|series| &series.points).map(|(_, y)| *y);
        let highest = ys().fold(0.0, f64::max);
        if self.logarithmic {
            let lowest = ys().fold(highest, f64::min).max(0.001);
            return (10_f64.powf(lowest.log10().floor()), 10_f64.powf(highest.log10().ceil()));
        }
        let step = round(highest / 5.0);
        (0.0, (highest / step).ceil() * step)
    }

    fn steps(&self, low: f64, high: f64) -> Vec<f64> {
        let step = round((high - low) / 6.0);
        let grow = |last: &f64| if self.logarithmic { last * 10.0 } else { last + step };
        std::iter::successors(Some(low), |last| Some(grow(last)).filter(|y| *y <= high * 1.01))
            .collect()
    }
}

/// The next of 1, 2, 5, 10, 20, 50, …
fn round(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0];
    steps.map(|step| step * power).into_iter().find(|step| *step >= value).unwrap_or(value)
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, words: &str) {
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{words}</text>")
        .unwrap();
}
