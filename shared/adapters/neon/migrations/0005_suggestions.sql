-- Questions to start with, for the readers of a part of the site in one version and language. section is the
-- path that the part's pages have in common; weight are the passages of the part.
CREATE TABLE suggestions (
    generation_id text NOT NULL REFERENCES generations ON DELETE CASCADE,
    version text NOT NULL,
    locale text NOT NULL,
    section text NOT NULL,
    rank integer NOT NULL,
    question text NOT NULL,
    url text NOT NULL,
    weight integer NOT NULL,
    PRIMARY KEY (generation_id, version, locale, section, rank)
);
