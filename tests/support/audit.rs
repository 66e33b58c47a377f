//! The server's own record of what each job did to tables.

use agent_provisioner::dev_server::SUPERUSER;

use super::{Admin, Database};

/// Kept by event triggers: a row of it is there exactly when what it tells of has been committed.
pub struct Audit(Admin);

/// What must never be in it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Effects of a job beyond its first, and of jobs that claim to have had none.
    pub duplicated: Vec<String>,
    /// Effects on a prefix in another order than that of its jobs.
    pub misordered: Vec<String>,
}

/// A job that built a table twice, or built or dropped one without saying so in its outcome; one
/// that says so and did not; and tables of which no job is the author.
const DUPLICATED: &str = "
    select d.verb, d.relation, d.job, j.kind, j.state, j.outcome, count(*)
    from audit.ddl d left join provisioning.jobs j on j.id = d.job
    group by d.verb, d.relation, d.job, j.kind, j.state, j.outcome
    having count(*) > 1 or j.state is distinct from 'succeeded'
        or j.outcome not in ('provisioned', 'deprovisioned', 'trashed')
        or j.outcome in ('deprovisioned', 'trashed') and d.verb = 'create'
    union all
    select 'nothing', j.agent_prefix, j.id, j.kind, j.state, j.outcome, count(d)
    from provisioning.jobs j left join audit.ddl d on d.job = j.id and d.verb = 'create'
    where j.outcome = 'provisioned' group by j.id having count(d) <> 4
    union all
    select 'again', min(agent_prefix), agent_id, 'provision', null, null, count(*)
    from provisioning.jobs where outcome = 'provisioned' group by agent_id having count(*) > 1";

/// Of one relation, creation and drop alternate, and the jobs behind them go upwards. With all that
/// is known of both jobs: the server is gone by the time that somebody reads this.
const MISORDERED: &str = "
    select d.relation, d.verb, d.before, to_jsonb(j), to_jsonb(e) from (
        select relation, verb, job, lag(verb) over w as before, lag(job) over w as earlier
        from audit.ddl window w as (partition by relation order by seq)) d
    left join provisioning.jobs j on j.id = d.job
    left join provisioning.jobs e on e.id = d.earlier
    where d.job < d.earlier or d.verb = coalesce(d.before, 'drop')";

impl Audit {
    /// Begins; what was done before is not in it.
    pub async fn begin(db: &Database) -> Self {
        let root = Admin(db.connect(SUPERUSER).await);
        root.run(include_str!("audit.sql")).await;
        Self(root)
    }

    /// Looks through it, on a new session if the one that began is gone.
    pub async fn findings(&mut self, db: &Database) -> Findings {
        if self.0.is_closed() {
            self.0 = Admin(db.connect(SUPERUSER).await);
        }
        Findings {
            duplicated: self.0.rows(DUPLICATED).await,
            misordered: self.0.rows(MISORDERED).await,
        }
    }
}
