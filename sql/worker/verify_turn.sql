-- Takes the turn to compare all agents in the background, if nobody took it within the interval, and says how many seconds
-- there are to the next one. A turn in the future was taken before the server's clock was set back.
-- $1 the interval in seconds
with taken as (
    insert into provisioning.verify_turn as t (taken_at) values (now())
    on conflict (id) do update set taken_at = excluded.taken_at
    where t.taken_at not between now() - make_interval(secs => $1) and now()
    returning t.taken_at
)
select exists (select from taken) as taken,
    coalesce((select extract(epoch from t.taken_at - now()) + $1 from provisioning.verify_turn t
              where not exists (select from taken)), $1)::float8 as seconds
