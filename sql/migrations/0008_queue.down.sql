drop function provisioning.register(bigint, text[], text[]);
drop function provisioning.next_due(text[], integer);
drop function provisioning.end_clock_waits();
drop function provisioning.claim(text[], integer, integer);
drop function provisioning.requeue_behind_former(bigint, bigint);
drop function provisioning.require_present();
drop view provisioning.job_waits;
drop function provisioning.due(text[], integer, integer);
