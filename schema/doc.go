// Package schema owns the database's structure: goose migrations, embedded and
// as plain files that the goose CLI takes too.
//
//	goose -dir schema postgres "$DATABASE_URL" up
//
// [Migrate] brings a database up to date, safely from several processes at once.
// [Check] tells whether this binary may work with a database: the table
// schema_compatibility holds the oldest binary schema version that the database
// still serves, so that gateways of two releases can run side by side while one
// migrates.
package schema
