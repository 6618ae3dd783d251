-- Builds of the index. seq gives their order; at most one is live.
CREATE TABLE generations (
    id text PRIMARY KEY,
    seq bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    fingerprint text NOT NULL,
    source text NOT NULL,
    status text NOT NULL CHECK (status IN ('building', 'live', 'retired')),
    pages integer NOT NULL DEFAULT 0,
    chunks integer NOT NULL DEFAULT 0,
    started_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz
);
CREATE UNIQUE INDEX one_live_generation ON generations (status) WHERE status = 'live';

-- What each generation holds. content_hash is empty while the page's points are being written.
CREATE TABLE pages (
    generation_id text NOT NULL REFERENCES generations ON DELETE CASCADE,
    url text NOT NULL,
    title text NOT NULL,
    content_hash text NOT NULL,
    chunks integer NOT NULL,
    PRIMARY KEY (generation_id, url)
);

-- Who ingests. A holder that was killed stops moving expires_at, and the next one takes over.
CREATE TABLE leases (
    name text PRIMARY KEY,
    token uuid NOT NULL,
    holder text NOT NULL,
    taken_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);

CREATE TABLE conversations (
    id text PRIMARY KEY,
    started_at timestamptz NOT NULL
);

-- Not tied to generations by a key: an answer outlives the index that it was made from.
CREATE TABLE answers (
    id text PRIMARY KEY,
    conversation_id text NOT NULL REFERENCES conversations ON DELETE CASCADE,
    asked_at timestamptz NOT NULL,
    question text NOT NULL,
    kind text NOT NULL,
    answer text NOT NULL,
    citations text[] NOT NULL,
    generation_id text NOT NULL,
    rung text NOT NULL
);
CREATE INDEX answers_of_conversation ON answers (conversation_id, asked_at DESC);
CREATE INDEX answers_by_time ON answers (asked_at);

-- Token buckets: tokens as of updated_at, and whether the last request got one.
CREATE TABLE rate_limits (
    key text PRIMARY KEY,
    tokens double precision NOT NULL,
    granted boolean NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE INDEX rate_limits_by_time ON rate_limits (updated_at);

-- US dollars by UTC day.
CREATE TABLE spend (
    day date PRIMARY KEY,
    usd double precision NOT NULL
);

CREATE TABLE cached_answers (
    key text PRIMARY KEY,
    generation_id text NOT NULL,
    payload jsonb NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX cached_answers_by_generation ON cached_answers (generation_id);
