//! How long ago, as it is shown.

/// Such as `12 s`, `5 min`, `3 h 5 min`, `4 d 2 h`. What is not to come before now is `0 s`.
pub(crate) fn age(seconds: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an age")]
    let whole = seconds.max(0.0) as u64;
    let (minutes, hours, days) = (whole / 60, whole / 3600, whole / 86_400);
    let pair = |big: u64, unit: &str, small: u64, part: &str| {
        if small == 0 { format!("{big} {unit}") } else { format!("{big} {unit} {small} {part}") }
    };
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{whole} s"),
        (0, 0, _) => format!("{minutes} min"),
        (0, _, _) => pair(hours, "h", minutes % 60, "min"),
        _ => pair(days, "d", hours % 24, "h"),
    }
}

#[cfg(test)]
mod tests {
    use super::age;

    #[test]
    fn an_age_has_the_units_that_matter() {
        let cases = [
            (-3.0, "0 s"),
            (59.9, "59 s"),
            (60.0, "1 min"),
            (3599.0, "59 min"),
            (3600.0, "1 h"),
            (11_100.0, "3 h 5 min"),
            (86_400.0, "1 d"),
            (352_800.0, "4 d 2 h"),
        ];
        for (seconds, said) in cases {
            assert_eq!(age(seconds), said);
        }
    }
}
