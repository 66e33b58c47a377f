// The project's address and its publishable key (formerly: anon). Both may be seen by everybody: row security guards the rows.
export const url = 'https://YOUR-PROJECT.supabase.co';
export const key = 'YOUR-PUBLISHABLE-KEY';
