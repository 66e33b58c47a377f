-- Ends this program's sessions whose client fell silent in the middle of a statement.
-- Between statements idle_in_transaction_session_timeout does that. But while the server waits for
-- the rest of the messages that make up a statement, which a proxy or a pooler may never pass on, no
-- timeout of its own runs, and the transaction would keep its locks for good.
-- $1 seconds of silence
select pg_terminate_backend(a.pid)
from pg_catalog.pg_stat_activity a
where a.datname = current_database()
  and a.usename = current_user
  and a.application_name ^@ 'agent-provisioner'
  and a.state = 'active'
  and a.wait_event = 'ClientRead'
  and a.state_change < clock_timestamp() - $1 * interval '1 second'
