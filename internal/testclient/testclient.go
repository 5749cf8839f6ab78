// Package testclient opens the library for a test, in a database and under a key
// prefix of its own.
package testclient

import (
	"context"
	"io"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/strategy"
)

// Config gives a config for a new, migrated database and a new key prefix.
func Config(t testing.TB) repo.Config {
	t.Helper()
	return repo.Config{
		DatabaseURL: testdb.URL(t), RedisURL: testdb.RedisURL(t), KeyPrefix: testdb.Prefix(t),
		MaxConns: 8, RequireRedis: true, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
}

// Open opens a client, which is closed after the test. Two clients of one config
// are to each other as two processes.
func Open(t testing.TB, cfg repo.Config) *repo.Client {
	t.Helper()
	client, err := repo.Open(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, client.Close(context.Background())) })
	return client
}

// LegacyRedis gives the URL of a Redis of the test's own, empty, as a legacy service
// would share it: its layout has no prefix.
func LegacyRedis(t testing.TB) string {
	t.Helper()
	return testdb.RedisServer(t).URL()
}

// OnRedis opens a client as Open does, whose data types are on cfg.PrimaryRedisURL.
func OnRedis(t testing.TB, cfg repo.Config, types ...strategy.DataType) *repo.Client {
	t.Helper()
	client := Open(t, cfg)
	for _, dataType := range types {
		require.NoError(t, client.Storage.SwitchStorageStrategy(t.Context(), dataType, strategy.Config{
			PrimaryStorage: strategy.PrimaryRedis, ReadStrategy: strategy.DatabaseFirst, WriteStrategy: strategy.WriteThrough,
		}).Err())
	}
	return client
}
