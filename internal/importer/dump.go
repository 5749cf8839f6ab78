package importer

import (
	"context"
	"errors"

	"github.com/seed14a526e0/relaystore/internal/devstack"
)

// Dump reads an RDB file through a Redis of its own.
type Dump struct {
	*Redis

	stack *devstack.Stack
}

// OpenDump starts a private redis-server on a copy of the file. Close ends it. What has
// expired since the dump was made is not in it.
func OpenDump(ctx context.Context, path string) (*Dump, error) {
	stack, err := devstack.Start(ctx, devstack.Options{SkipPostgres: true, RedisDump: path})
	if err != nil {
		return nil, err
	}
	r, err := OpenRedis(stack.RedisURL)
	if err != nil {
		return nil, errors.Join(err, stack.Close())
	}
	return &Dump{r, stack}, nil
}

// Close ends the connection and the server, and removes the copy.
func (d *Dump) Close() error { return errors.Join(d.Redis.Close(), d.stack.Close()) }
