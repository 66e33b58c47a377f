//! How long a failed job, or a broken connection, waits.

use std::time::Duration;

/// No wait for a job is longer: a person is waiting for the agent.
const JOB_CAP: Duration = Duration::from_mins(10);
/// Failures to connect, after which a server is not about to come back.
const SOON: u32 = 150;

/// Full jitter below `min(2 s · 2^attempts, 10 min)`; `jitter` is drawn from 0..1.
pub(crate) fn job(attempts: i32, jitter: f64) -> Duration {
    let doublings = u32::try_from(attempts).unwrap_or(0).min(16);
    (Duration::from_secs(2) * 2_u32.pow(doublings)).min(JOB_CAP).mul_f64(jitter)
}

/// Between half and all of 0.5 s for the first minute or so, in which a restart is over; then twice
/// as long each time, up to 30 s.
///
/// Not full jitter: a server that is down is asked at a bounded rate.
pub(crate) fn reconnect(failures: u32, jitter: f64) -> Duration {
    let ceiling = Duration::from_millis(500) * 2_u32.pow(failures.saturating_sub(SOON).min(6));
    ceiling.min(Duration::from_secs(30)).mul_f64(0.5 + 0.5 * jitter)
}

/// Between half and all of 0.5 s, then twice as long each time, up to 10 s.
///
/// A server that refuses a statement has to make a new connection for each try.
pub(crate) fn refused(failures: u32, jitter: f64) -> Duration {
    let ceiling = Duration::from_millis(500) * 2_u32.pow(failures.min(5));
    ceiling.min(Duration::from_secs(10)).mul_f64(0.5 + 0.5 * jitter)
}

/// Whether the log needs to hear of this failure as well: of the first, and ever more seldom.
pub(crate) fn worth_a_line(failures: u32) -> bool {
    failures == 0 || failures.is_power_of_two()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn waits_grow_twofold_from_their_first_to_their_longest() {
        let seconds = |wait: fn(u32) -> Duration, n: &[u32]| {
            n.iter().map(|n| wait(*n).as_secs_f64()).collect::<Vec<_>>()
        };
        let jobs = seconds(|n| job(n.cast_signed(), 1.0), &[0, 1, 2, 8, 9, 100]);
        assert_eq!(jobs, [2.0, 4.0, 8.0, 512.0, 600.0, 600.0]);
        let reconnects = seconds(|n| reconnect(n, 1.0), &[0, 150, 151, 155, 156, 500]);
        assert_eq!(reconnects, [0.5, 0.5, 1.0, 16.0, 30.0, 30.0]);
        let refusals = seconds(|n| refused(n, 1.0), &[0, 1, 4, 5, 100]);
        assert_eq!(refusals, [0.5, 1.0, 8.0, 10.0, 10.0]);
        // Jobs that failed together spread over all of it; who reconnects waits at least half.
        assert_eq!(
            [job(5, 0.0), reconnect(0, 0.0), refused(0, 0.0)].map(|w| w.as_millis()),
            [0, 250, 250]
        );
        let lines: Vec<u32> = (0..20).filter(|n| worth_a_line(*n)).collect();
        assert_eq!(lines, [0, 1, 2, 4, 8, 16]);
    }

    proptest! {
        #[test]
        fn waits_stay_within_their_bounds(n in any::<i32>(), u in any::<u32>(), jitter in 0.0..1.0) {
            prop_assert!(job(n, jitter) <= JOB_CAP);
            prop_assert!(job(n, 1.0) >= Duration::from_secs(2));
            prop_assert!((250..=30_000).contains(&reconnect(u, jitter).as_millis()));
            prop_assert!((250..=10_000).contains(&refused(u, jitter).as_millis()));
        }
    }
}
