package importer

import (
	"context"
	"errors"
	"io"
	"os"

	"github.com/seed14a526e0/relaystore/internal/devstack"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// Dump reads an RDB file through a Redis of its own.
type Dump struct {
	*Redis

	stack *devstack.Stack
}

// OpenDump starts a private redis-server on a copy of the file. Close ends it. What has
// expired since the dump was made is not in it.
func OpenDump(ctx context.Context, path string) (*Dump, error) {
	if err := checkDump(path); err != nil {
		return nil, err
	}
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

// dumpMagic is how each RDB file begins.
const dumpMagic = "REDIS"

// checkDump spares its user the log of a server that cannot read the file.
func checkDump(path string) error {
	file, err := os.Open(path) //nolint:gosec // the operator names it
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	begins := make([]byte, len(dumpMagic))
	if _, err := io.ReadFull(file, begins); err != nil || string(begins) != dumpMagic {
		return result.Invalid("rdb", "%s: not an RDB file", path)
	}
	return nil
}

// Close ends the connection and the server, and removes the copy.
func (d *Dump) Close() error { return errors.Join(d.Redis.Close(), d.stack.Close()) }
