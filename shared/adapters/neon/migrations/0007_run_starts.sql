-- Which execution of a job works on a run. execution is empty from the moment before it is started until its
-- name is known.
CREATE TABLE run_starts (
    run_id text PRIMARY KEY REFERENCES runs ON DELETE CASCADE,
    execution text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
