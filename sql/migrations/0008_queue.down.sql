alter function provisioning.owns_agent(bigint) parallel unsafe;
drop function provisioning.next_due(text[], integer);
drop function provisioning.claim(text[], integer, integer);
drop function provisioning.due(text[], integer);
