-- Records the files that agents are built from; what some agent was built from already stays.
-- $1 versions, 0 for the foreign key, $2 names, $3 checksums
insert into provisioning.templates as t (version, name, checksum)
select f.version, f.name, f.checksum
from unnest($1, $2, $3) f (version, name, checksum)
on conflict (version) do update
    set name = excluded.name, checksum = excluded.checksum, recorded_at = now()
    where (t.name, t.checksum) is distinct from (excluded.name, excluded.checksum)
      and (t.checksum = excluded.checksum or not exists (
          select from provisioning.agents a
          where a.template_version >= t.version and (t.version > 0 or a.reference = 'foreign_key')))
