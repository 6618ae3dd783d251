-- What a question leaves behind, and who may ask.

-- The whole answer as the reader got it: for picking up an answer whose stream broke, and for the report.
ALTER TABLE answers ADD COLUMN detail jsonb;

-- One verdict an answer; the latest counts. No key to answers: the answer may still lie in the spool.
CREATE TABLE feedback (
    answer_id text PRIMARY KEY,
    rating text NOT NULL CHECK (rating IN ('up', 'down')),
    reason text NOT NULL,
    comment text NOT NULL,
    given_at timestamptz NOT NULL
);
CREATE INDEX feedback_by_time ON feedback (given_at);

-- Conversations that readers deleted: what was said up to then must not come back with a restored backup
-- or out of the spool. The bucket holds the same list.
CREATE TABLE deletions (
    conversation_id text PRIMARY KEY,
    deleted_at timestamptz NOT NULL
);
CREATE INDEX deletions_by_time ON deletions (deleted_at);

-- SHA-256 of each API key (32 random bytes need neither salt nor a slow hash); the key itself is nowhere.
CREATE TABLE api_keys (
    id text PRIMARY KEY,
    name text NOT NULL,
    hash text NOT NULL UNIQUE,
    requests_per_minute integer NOT NULL CHECK (requests_per_minute > 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz
);

-- Which pages an answer stands on, so that a page that changes takes its cached answers with it.
ALTER TABLE cached_answers ADD COLUMN pages text[] NOT NULL DEFAULT '{}';
CREATE INDEX cached_answers_by_page ON cached_answers USING gin (pages);
CREATE INDEX cached_answers_by_expiry ON cached_answers (expires_at);

-- Grows with every change of pages. An answer begun before a change is not kept after it, and an instance
-- that sees a new epoch empties the cache in its memory.
CREATE TABLE cache_epoch (
    one boolean PRIMARY KEY DEFAULT TRUE CHECK (one),
    epoch bigint NOT NULL
);
INSERT INTO cache_epoch (epoch) VALUES (0);
