package bench

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"github.com/seed14a526e0/relaystore/repo/apikeys"
)

const (
	// entryTTL makes the baselines' entries go, also when this process is killed.
	entryTTL   = time.Hour
	redisBatch = 1000
)

// entry is about as long as a record of the library.
var entry = strings.Repeat("x", 100)

var errNotHit = errors.New("rueidis answered from its cache what it had never been asked")

// entries are the baselines' own keys in Redis, through a client of their own.
// Their names are as long as a hash, without any prefix, which DoCache would pay
// for.
type entries struct {
	client rueidis.Client
	names  []string
}

func openEntries(ctx context.Context, p Place, n int) (*entries, error) {
	opt, err := rueidis.ParseURL(p.RedisURL)
	if err != nil {
		return nil, errors.New("REDIS_URL cannot be parsed")
	}
	client, err := rueidis.NewClient(opt)
	if err != nil {
		return nil, err
	}
	e := &entries{client: client}
	for i := range n {
		e.names = append(e.names, apikeys.HashPlaintext(p.Prefix+strconv.Itoa(i)))
	}
	err = e.each(ctx, func(b rueidis.Builder, name string) rueidis.Completed {
		return b.Set().Key(name).Value(entry).Ex(entryTTL).Build()
	})
	if err != nil {
		return nil, errors.Join(err, e.close(ctx))
	}
	return e, nil
}

// close removes the entries.
func (e *entries) close(ctx context.Context) error {
	defer e.client.Close()
	return e.each(context.WithoutCancel(ctx), func(b rueidis.Builder, name string) rueidis.Completed {
		return b.Unlink().Key(name).Build()
	})
}

func (e *entries) each(ctx context.Context, command func(rueidis.Builder, string) rueidis.Completed) error {
	for batch := range slices.Chunk(e.names, redisBatch) {
		var commands []rueidis.Completed
		for _, name := range batch {
			commands = append(commands, command(e.client.B(), name))
		}
		for _, reply := range e.client.DoMulti(ctx, commands...) {
			if err := reply.Error(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (e *entries) cached(ctx context.Context, name string) rueidis.RedisResult {
	return e.client.DoCache(ctx, e.client.B().Get().Key(name).Cache(), entryTTL)
}

// warm brings the first n entries into the client's cache.
func (e *entries) warm(ctx context.Context, n int) error {
	for _, name := range e.names[:n] {
		if err := e.cached(ctx, name).Error(); err != nil {
			return err
		}
	}
	return nil
}

// miss asks for an entry for the first time.
func (e *entries) miss(ctx context.Context, name string) error {
	reply := e.cached(ctx, name)
	if reply.IsCacheHit() {
		return errNotHit
	}
	return reply.Error()
}

func (e *entries) get(ctx context.Context, name string) error {
	return e.client.Do(ctx, e.client.B().Get().Key(name).Build()).Error()
}
