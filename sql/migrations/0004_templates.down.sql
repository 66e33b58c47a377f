-- The next start of the service records the files again, as they are then.
drop table provisioning.templates;
