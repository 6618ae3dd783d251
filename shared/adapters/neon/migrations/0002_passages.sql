-- What answers while Qdrant is away: the passages again, and what their words weigh.

-- The payload of the generation's reserved point: frozen statistics and facts.
CREATE TABLE lexical_facts (
    generation_id text PRIMARY KEY REFERENCES generations ON DELETE CASCADE,
    payload jsonb NOT NULL
);

-- words holds the stems that the index itself counts, with their positions, so that no language has to be
-- configured and identifiers are found as they are found elsewhere. Passages go with their page.
CREATE TABLE passages (
    generation_id text NOT NULL,
    id text NOT NULL,
    url text NOT NULL,
    title text NOT NULL,
    headings jsonb NOT NULL,
    anchor text NOT NULL,
    body text NOT NULL,
    position integer NOT NULL,
    version text NOT NULL,
    locale text NOT NULL,
    words tsvector NOT NULL,
    PRIMARY KEY (generation_id, id),
    FOREIGN KEY (generation_id, url) REFERENCES pages (generation_id, url) ON DELETE CASCADE
);
CREATE INDEX passages_by_page ON passages (generation_id, url);
CREATE INDEX passages_by_word ON passages USING gin (words);
