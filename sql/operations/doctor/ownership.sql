-- Whether the worker's role, and postgres for Studio and migrations, can change agents' tables. One row.
-- Where no role is the worker's, it is whoever asks.
with worker as (
    select coalesce(provisioning.worker_role(), to_regrole(quote_ident(current_user))::oid) as oid
), owners as (
    select c.relowner as owner
    from provisioning.agent_tables t join pg_catalog.pg_class c on c.oid = t.relation
    union all
    select y.typowner
    from provisioning.agent_types t join pg_catalog.pg_type y on y.oid = t.type
)
select
    (select quote_ident(r.rolname) from pg_catalog.pg_roles r where r.oid = w.oid) as worker,
    array(
        select format('%s of %s', count(*), quote_ident(r.rolname))
        from owners o join pg_catalog.pg_roles r on r.oid = o.owner
        where not pg_has_role(w.oid, o.owner, 'usage')
        group by r.rolname
        order by count(*) desc
    ) as others,
    exists (
        select from pg_catalog.pg_roles p
        where p.rolname = 'postgres' and p.oid <> w.oid and not pg_has_role(p.oid, w.oid, 'usage')
    ) as postgres_is_no_member
from worker w
