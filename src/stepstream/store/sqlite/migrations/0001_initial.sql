-- Times are nanoseconds since 1970-01-01 UTC; ids are the sixteen bytes of a UUID.

CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE schema_migration (
    version    INTEGER PRIMARY KEY,
    name       TEXT NOT NULL,
    sha256     TEXT NOT NULL,
    applied_at INTEGER NOT NULL,
    release    TEXT NOT NULL
) STRICT;

-- One process that logs, for as long as it lives. last_number is the highest number of its frames seen.
CREATE TABLE recorder (
    key         INTEGER PRIMARY KEY,
    id          BLOB NOT NULL UNIQUE,
    pid         INTEGER NOT NULL,
    host        TEXT NOT NULL,
    boot_id     TEXT NOT NULL,
    release     TEXT NOT NULL,
    started_at  INTEGER NOT NULL,
    last_number INTEGER NOT NULL,
    refused     INTEGER NOT NULL DEFAULT 0,
    episode     INTEGER,
    ended_at    INTEGER
) STRICT;

-- How far a file of the spool was read; moved in the same transaction as the steps that were read.
CREATE TABLE segment (
    name        TEXT PRIMARY KEY,
    recorder    INTEGER NOT NULL REFERENCES recorder (key),
    consumed    INTEGER NOT NULL,
    finished_at INTEGER
) STRICT, WITHOUT ROWID;

-- A projection of the log, kept by the committer.
CREATE TABLE episode (
    key           INTEGER PRIMARY KEY,
    id            BLOB NOT NULL UNIQUE,
    name          TEXT NOT NULL,
    status        TEXT NOT NULL,
    reason        TEXT,
    problem       TEXT,
    attempt       INTEGER NOT NULL,
    parent_id     BLOB,
    tags          TEXT NOT NULL,
    started_at    INTEGER NOT NULL,
    ended_at      INTEGER,
    outcome       TEXT,
    score         REAL,
    ending        TEXT,
    metadata      TEXT,
    code_version  BLOB, -- the hash of a row of content, which many episodes share
    data_use      TEXT,
    ambient       INTEGER NOT NULL,
    implied       INTEGER NOT NULL,
    agent         TEXT,
    role          TEXT,
    recorder      INTEGER NOT NULL REFERENCES recorder (key),
    next_sequence INTEGER NOT NULL,
    errors        INTEGER NOT NULL,
    last_cursor   INTEGER NOT NULL,
    last_at       INTEGER NOT NULL
) STRICT;

CREATE INDEX episode_running ON episode (recorder) WHERE ended_at IS NULL;
CREATE INDEX episode_started ON episode (started_at);
CREATE INDEX episode_parent ON episode (parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX episode_problem ON episode (problem) WHERE problem IS NOT NULL;

-- The log. Never updated.
CREATE TABLE step (
    cursor         INTEGER PRIMARY KEY AUTOINCREMENT,
    id             BLOB NOT NULL UNIQUE,
    episode        INTEGER NOT NULL REFERENCES episode (key),
    sequence       INTEGER NOT NULL,
    kind           TEXT NOT NULL,
    schema_version INTEGER NOT NULL,
    occurred_at    INTEGER NOT NULL,
    recorded_at    INTEGER NOT NULL,
    agent          TEXT,
    role           TEXT,
    parent_id      BLOB,
    closes         BLOB,
    recorder       INTEGER NOT NULL REFERENCES recorder (key),
    after_end      INTEGER NOT NULL,
    payload        TEXT NOT NULL,
    pooled         TEXT,
    UNIQUE (episode, sequence)
) STRICT;

CREATE INDEX step_closes ON step (closes) WHERE closes IS NOT NULL;
CREATE INDEX step_error ON step (episode, sequence) WHERE kind = 'error_report';
CREATE INDEX step_loss ON step (cursor) WHERE kind = 'loss';

-- Large texts and chat messages, once. A message of a conversation names the one before it, so that a loop
-- which resends its history adds only what is new.
CREATE TABLE content (
    hash     BLOB PRIMARY KEY,
    previous BLOB,
    target   BLOB,
    body     TEXT
) STRICT;

CREATE TABLE artifact (
    sha256      TEXT PRIMARY KEY,
    size_bytes  INTEGER NOT NULL,
    media_type  TEXT NOT NULL,
    name        TEXT NOT NULL,
    kept        INTEGER NOT NULL,
    recorded_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The JSON schema of every kind and version ever stored: the file describes itself when the class is gone.
CREATE TABLE payload_schema (
    kind           TEXT NOT NULL,
    schema_version INTEGER NOT NULL,
    json_schema    TEXT NOT NULL,
    PRIMARY KEY (kind, schema_version)
) STRICT, WITHOUT ROWID;

CREATE TABLE redaction (
    kind  TEXT PRIMARY KEY,
    count INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- For a person with: sqlite3 -readonly history.db
CREATE VIEW step_readable AS
SELECT step.cursor,
       strftime('%Y-%m-%d %H:%M:%f', step.occurred_at / 1e9, 'unixepoch') AS time,
       episode.name                                                      AS episode,
       step.sequence,
       step.kind,
       step.agent,
       step.role,
       lower(hex(step.id))                                               AS id,
       lower(hex(step.closes))                                           AS closes,
       step.payload
FROM step
JOIN episode ON episode.key = step.episode;

CREATE VIEW episode_readable AS
SELECT lower(hex(id))                                                AS id,
       name,
       status,
       strftime('%Y-%m-%d %H:%M:%f', started_at / 1e9, 'unixepoch') AS started,
       (coalesce(ended_at, last_at) - started_at) / 1e9              AS seconds,
       next_sequence                                                 AS steps,
       errors,
       outcome,
       score,
       problem,
       reason
FROM episode;

CREATE VIEW tool_call AS
SELECT opened.cursor,
       strftime('%Y-%m-%d %H:%M:%f', opened.occurred_at / 1e9, 'unixepoch') AS time,
       episode.name                                                        AS episode,
       opened.agent,
       opened.payload ->> '$.tool'                                         AS tool,
       opened.payload -> '$.arguments'                                     AS arguments,
       closed.kind                                                         AS ended_by,
       (closed.occurred_at - opened.occurred_at) / 1e6                     AS milliseconds,
       closed.payload -> '$.result'                                        AS result,
       closed.payload ->> '$.message'                                      AS error
FROM step AS opened
JOIN episode ON episode.key = opened.episode
LEFT JOIN step AS closed ON closed.closes = opened.id
WHERE opened.kind = 'tool_call';
