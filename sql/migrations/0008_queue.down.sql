alter function provisioning.owns_agent(bigint) parallel unsafe;
drop function provisioning.next_due(text[], integer);
drop function provisioning.claim(text[], bigint[], integer, integer);
