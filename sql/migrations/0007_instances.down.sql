drop table provisioning.instances;
