-- What ingestion does: its runs, what each of them has read, and the index passage by passage.

-- Grows by one with every write to the ledger, in the same transaction: what two readers of the ledger saw
-- at the same version is the same.
CREATE TABLE ledger_version (
    one boolean PRIMARY KEY DEFAULT TRUE CHECK (one),
    version bigint NOT NULL
);
INSERT INTO ledger_version (version) VALUES (0);

-- What a page was read from, so that one whose file (or answer) is the same need not be parsed. It counts only
-- while read_for is the row's content_hash: code from before these columns changes that alone.
ALTER TABLE pages
    ADD COLUMN source_hash text NOT NULL DEFAULT '',
    ADD COLUMN read_for text NOT NULL DEFAULT '';

-- Every point of a generation but the reserved one. text_hash stands for the text that was embedded, and is
-- empty for a passage without a dense vector.
CREATE TABLE chunks (
    generation_id text NOT NULL,
    id text NOT NULL,
    url text NOT NULL,
    text_hash text NOT NULL,
    PRIMARY KEY (generation_id, id),
    FOREIGN KEY (generation_id, url) REFERENCES pages (generation_id, url) ON DELETE CASCADE
);
CREATE INDEX chunks_by_page ON chunks (generation_id, url);
CREATE INDEX chunks_by_text ON chunks (generation_id, text_hash);

-- One ingestion. generation_id is the one whose pages it changes, empty when a new one is built; phase is what
-- it is doing. plan is NULL until everything was read.
CREATE TABLE runs (
    id text PRIMARY KEY,
    seq bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    source text NOT NULL,
    place text NOT NULL,
    base_url text NOT NULL,
    fingerprint text NOT NULL,
    status text NOT NULL
        CHECK (status IN ('planned', 'running', 'waiting_for_removal', 'succeeded', 'failed')),
    phase text NOT NULL CHECK (phase IN ('reading', 'embedding', 'writing', 'finishing', 'done')),
    tasks integer NOT NULL CHECK (tasks > 0),
    allow_removal boolean NOT NULL,
    generation_id text NOT NULL DEFAULT '',
    plan jsonb,
    to_write integer NOT NULL DEFAULT 0,
    written integer NOT NULL DEFAULT 0,
    report jsonb,
    error text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    heartbeat_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz
);

-- One share of a run: with many tasks each reads and embeds the pages whose address falls to it.
CREATE TABLE run_tasks (
    run_id text NOT NULL REFERENCES runs ON DELETE CASCADE,
    task integer NOT NULL,
    done boolean NOT NULL DEFAULT FALSE,
    pages_read integer NOT NULL DEFAULT 0,
    embedded integer NOT NULL DEFAULT 0,
    calls integer NOT NULL DEFAULT 0,
    tokens bigint NOT NULL DEFAULT 0,
    refused text[] NOT NULL DEFAULT '{}',
    PRIMARY KEY (run_id, task)
);

-- What a run has read. part says in which object of the stage the page lies, cut; NULL for a page that is
-- as the ledger knows it.
CREATE TABLE run_pages (
    run_id text NOT NULL REFERENCES runs ON DELETE CASCADE,
    url text NOT NULL,
    place text NOT NULL,
    source_hash text NOT NULL,
    content_hash text NOT NULL,
    chunks integer NOT NULL,
    task integer NOT NULL,
    part integer,
    PRIMARY KEY (run_id, url)
);
CREATE INDEX run_pages_by_part ON run_pages (run_id, task, part);

-- Which task of a run embeds a text, and in which of its objects the vector lies; NULL while it is asked for.
CREATE TABLE run_texts (
    run_id text NOT NULL REFERENCES runs ON DELETE CASCADE,
    text_hash text NOT NULL,
    characters integer NOT NULL,
    task integer NOT NULL,
    part integer,
    PRIMARY KEY (run_id, text_hash)
);
