// Package testdb gives each test a PostgreSQL database and a Redis key prefix of
// its own, on the servers that DATABASE_URL and REDIS_URL name. make test sets
// them; a test without them fails and says so.
package testdb
