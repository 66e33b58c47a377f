-- Deletions of the last hour that no operator approved: those that are done or under way, and those that nobody asked
-- for, done or not. Jobs of this transaction's own count, too.
select
    count(*) filter (where j.state = 'succeeded' or j.keys_removed) as deleted,
    count(*) filter (where j.unreported and j.state <> 'dead') as unreported
from provisioning.jobs j
where j.kind = 'deprovision'
  and j.state in ('pending', 'dead', 'paused', 'succeeded')
  and not j.deletion_confirmed
  and j.outcome is distinct from 'superseded'     -- it deleted nothing
  and (j.finished_at is null or j.finished_at > now() - interval '1 hour')
