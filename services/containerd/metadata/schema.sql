-- Metadata of docker-containerd, version 1. Times are nanoseconds since the epoch, labels JSON objects of strings.
CREATE TABLE namespaces (
    name   TEXT PRIMARY KEY,
    labels TEXT NOT NULL DEFAULT '{}'
) STRICT, WITHOUT ROWID;

-- A blob is visible to a namespace by its row; the file is shared by all of them.
CREATE TABLE content (
    namespace TEXT NOT NULL REFERENCES namespaces (name),
    digest    TEXT NOT NULL,
    size      INTEGER NOT NULL,
    created   INTEGER NOT NULL,
    updated   INTEGER NOT NULL,
    labels    TEXT NOT NULL DEFAULT '{}',
    PRIMARY KEY (namespace, digest)
) STRICT, WITHOUT ROWID;
CREATE INDEX content_digest ON content (digest);

-- An ingest's bytes so far are the file named by its id.
CREATE TABLE ingests (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    namespace TEXT NOT NULL REFERENCES namespaces (name),
    ref       TEXT NOT NULL,
    started   INTEGER NOT NULL,
    total     INTEGER NOT NULL DEFAULT 0,
    expected  TEXT NOT NULL DEFAULT '',
    UNIQUE (namespace, ref)
) STRICT;

-- record is a containerd.services.images.v1.Image.
CREATE TABLE images (
    namespace TEXT NOT NULL REFERENCES namespaces (name),
    name      TEXT NOT NULL,
    target    TEXT NOT NULL,
    record    BLOB NOT NULL,
    PRIMARY KEY (namespace, name)
) STRICT, WITHOUT ROWID;

-- record is a containerd.services.containers.v1.Container.
CREATE TABLE containers (
    namespace    TEXT NOT NULL REFERENCES namespaces (name),
    id           TEXT NOT NULL,
    snapshotter  TEXT NOT NULL,
    snapshot_key TEXT NOT NULL,
    record       BLOB NOT NULL,
    PRIMARY KEY (namespace, id)
) STRICT;

-- id names the snapshot's directory; it is never used twice. kind is the wire's Kind.
CREATE TABLE snapshots (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    namespace TEXT NOT NULL REFERENCES namespaces (name),
    driver    TEXT NOT NULL,
    key       TEXT NOT NULL,
    parent    INTEGER REFERENCES snapshots (id),
    kind      INTEGER NOT NULL,
    created   INTEGER NOT NULL,
    updated   INTEGER NOT NULL,
    labels    TEXT NOT NULL DEFAULT '{}',
    size      INTEGER,
    inodes    INTEGER,
    UNIQUE (namespace, driver, key)
) STRICT;
CREATE INDEX snapshots_parent ON snapshots (parent);

CREATE TABLE leases (
    namespace TEXT NOT NULL REFERENCES namespaces (name),
    id        TEXT NOT NULL,
    created   INTEGER NOT NULL,
    labels    TEXT NOT NULL DEFAULT '{}',
    PRIMARY KEY (namespace, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE resources (
    namespace TEXT NOT NULL,
    lease     TEXT NOT NULL,
    type      TEXT NOT NULL,
    id        TEXT NOT NULL,
    PRIMARY KEY (namespace, lease, type, id),
    FOREIGN KEY (namespace, lease) REFERENCES leases (namespace, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
