-- This script is for one schema version only.
do $$
declare
    found constant integer := (select coalesce(max(m.version), 0) from provisioning.migrations m);
begin
    if found <> {version} then
        raise exception 'the database has schema version %, this script is for version {version}', found
            using errcode = 'object_not_in_prerequisite_state',
                  hint = format('Print the script for it: agent-provisioner migrate print --after %s', found);
    end if;
end $$;
