-- What rehearsals of a restore found out. The same report lies beside its recovery point in the bucket.
CREATE TABLE drill_reports (
    point text NOT NULL,
    started_at timestamptz NOT NULL,
    passed boolean NOT NULL,
    rehearsed_restore_seconds double precision NOT NULL,
    report jsonb NOT NULL,
    PRIMARY KEY (point, started_at)
);
