-- Runs after the repeatable files where a numbered migration was applied.

-- Who signed up before the trigger on auth.users was there.
do $$
begin
    perform provisioning.copy_sign_ups();
end $$;
