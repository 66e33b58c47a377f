drop function provisioning.enter_agent(bigint, integer, text);
drop function provisioning.prune(double precision, bigint, bigint, boolean);
drop function provisioning.end_provision(bigint);
drop function provisioning.cancel(bigint[], text, text, boolean);
drop function provisioning.replay(bigint[], text, text[], text, text, boolean);
drop function provisioning.reconcile();
drop function provisioning.enqueue(text, bigint[], text, smallint);
drop function provisioning.is_free(bigint);
drop function provisioning.record_failure(
    bigint, integer, integer, text, double precision, text, text, double precision, boolean, text, boolean);
drop function provisioning.cancel_earlier(bigint);
drop function provisioning.begin_deletion(bigint);
drop function provisioning.settle(bigint, text, double precision);
