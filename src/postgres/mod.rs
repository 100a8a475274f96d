//! Everything that knows it talks to Postgres: the private cluster, connections, migrations.

pub mod embedded;
