drop table provisioning.secrets;
