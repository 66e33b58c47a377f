drop function provisioning.show_instance(bigint, text, integer, text, jsonb, text, text);
drop function provisioning.differing_instances(bigint, jsonb);
drop function provisioning.is_current(timestamptz);
drop table provisioning.instances;
