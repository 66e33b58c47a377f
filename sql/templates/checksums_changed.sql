-- Files that some agent was built from and that are not what they were then.
-- $1 versions, 0 for the foreign key, $2 names, $3 checksums
select t.version, t.name, f.version is null as gone
from provisioning.templates t
left join unnest($1, $2, $3) f (version, name, checksum) on f.version = t.version
where f.checksum is distinct from t.checksum
  and exists (
      select from provisioning.agents a
      where a.template_version >= t.version and (t.version > 0 or a.reference = 'foreign_key'))
order by t.version
