//! Throughput as a picture, with the numbers below it.

use maud::{Markup, html};

use crate::operations::recent::Minute;

const BAR: usize = 12;
const HEIGHT: u32 = 96;

/// Bars for each of the last sixty minutes, the oldest on the left.
pub(super) fn throughput(minutes: &[Minute]) -> Markup {
    let most =
        minutes.iter().map(|minute| minute.succeeded + minute.dead).max().unwrap_or(0).max(1);
    let height = |count: u32| count * HEIGHT / most;
    let width = minutes.len() * BAR;
    let total: u32 = minutes.iter().map(|minute| minute.succeeded).sum();
    html! {
        svg.chart viewBox={ "0 0 " (width) " 120" } role="img" aria-label={ (total) " jobs succeeded within the hour; at most "
            (most) " a minute" } {
            line x1="0" x2=(width) y1=(HEIGHT + 4) y2=(HEIGHT + 4) {}
            @for (index, minute) in minutes.iter().enumerate() {
                @let (x, done, dead) = (index * BAR, height(minute.succeeded), height(minute.dead));
                rect.done x=(x + 1) y=(HEIGHT + 4 - done) width=(BAR - 2) height=(done) {
                    title { (minutes.len() - index) " min ago: " (minute.succeeded) " succeeded" }
                }
                rect.dead x=(x + 1) y=(HEIGHT + 4 - done - dead) width=(BAR - 2) height=(dead) {}
            }
            text x="0" y="116" { "1 h ago" }
            text x=(width) y="116" text-anchor="end" { "now; highest: " (most) " a minute" }
        }
        details {
            summary { "The numbers" }
            div.scroll {
                table {
                    thead { tr { th.number { "Minutes ago" } th.number { "Succeeded" } th.number { "Dead" } } }
                    tbody {
                        @for (index, minute) in minutes.iter().enumerate().filter(|(_, of)| of.succeeded + of.dead > 0) {
                            tr {
                                td.number { (minutes.len() - index) }
                                td.number { (minute.succeeded) }
                                td.number { (minute.dead) }
                            }
                        }
                    }
                }
            }
        }
    }
}
