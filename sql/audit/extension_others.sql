-- Ends all sessions in this database but two, such as one that a file has opened by dblink: from then on nobody makes
-- anything here.
-- $1 the process of the session in which files run
select pg_terminate_backend(a.pid, 5000)
from pg_catalog.pg_stat_activity a
where a.datname = current_database() and a.backend_type = 'client backend' and a.pid not in (pg_backend_pid(), $1)
