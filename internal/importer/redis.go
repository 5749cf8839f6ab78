package importer

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"sync/atomic"

	"github.com/redis/rueidis"

	"github.com/seed14a526e0/relaystore/internal/legacy"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

const (
	// scanBatch bounds what is read at a time.
	scanBatch = 1000
	// maxValue is how many members a list or a set has at most; more are another
	// program's.
	maxValue = 1_000_000
)

// Redis reads a live Redis, or a copy of one.
type Redis struct{ client rueidis.Client }

// OpenRedis connects to the one server at url. Close ends it. One connection serves all:
// a Redis that was started again goes through its keys in another order, and a SCAN that
// went on there would miss some. When the connection is lost, every call fails.
func OpenRedis(url string) (*Redis, error) {
	opt, err := rueidis.ParseURL(url)
	if err != nil {
		return nil, result.Invalid("redis", "not a redis:// or rediss:// URL")
	}
	opt.ForceSingleClient = true
	opt.DisableCache = true // tracking would make the source remember what was read
	opt.DisableRetry = true
	opt.PipelineMultiplex = -1
	var opened atomic.Bool
	opt.DialCtxFn = func(ctx context.Context, addr string, dialer *net.Dialer, cfg *tls.Config) (net.Conn, error) {
		switch {
		case opened.Load():
			return nil, errLost
		case cfg != nil:
			return (&tls.Dialer{NetDialer: dialer, Config: cfg}).DialContext(ctx, "tcp", addr)
		}
		return dialer.DialContext(ctx, "tcp", addr)
	}
	client, err := rueidis.NewClient(opt)
	if err != nil {
		says := "cannot connect to the legacy Redis"
		if why := result.Why(err); why != "" {
			says += ": " + why
		}
		return nil, result.New(result.CacheError, "%s", says)
	}
	opened.Store(true)
	return &Redis{client}, nil
}

var errLost = errors.New("the connection is lost")

// Close ends the connection.
func (r *Redis) Close() error {
	r.client.Close()
	return nil
}

// Opener takes what is not sealed as the service would.
func (r *Redis) Opener(c *legacy.Cipher) legacy.Opener { return c }

// Has tells whether there is a key, of whatever type.
func (r *Redis) Has(ctx context.Context, key string) (bool, error) {
	n, err := r.client.Do(ctx, r.client.B().Exists().Key(key).Build()).AsInt64()
	if err != nil {
		return false, failed("EXISTS", err)
	}
	return n == 1, nil
}

// Names scans the whole of the database.
func (r *Redis) Names(ctx context.Context, f func([]string) error) error {
	for cursor := uint64(0); ; {
		page, err := r.client.Do(ctx, r.client.B().Scan().Cursor(cursor).Count(scanBatch).Build()).AsScanEntry()
		if err != nil {
			return failed("SCAN", err)
		}
		for part := range slices.Chunk(page.Elements, scanBatch) {
			if err := f(part); err != nil {
				return err
			}
		}
		if cursor = page.Cursor; cursor == 0 {
			return nil
		}
	}
}

// failed leaves what Redis says out: it may quote a key.
func failed(command string, err error) error {
	e := result.From(err)
	return result.New(e.Code, "the legacy Redis does not answer %s", command)
}

// Read asks for types, then for what has the right one.
func (r *Redis) Read(ctx context.Context, keys []string) ([]Entry, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	entries := make([]Entry, len(keys))
	types := make(rueidis.Commands, len(keys))
	for i, key := range keys {
		entries[i] = Entry{Name: legacy.ParseName(key), Key: key}
		types[i] = r.client.B().Type().Key(key).Build()
	}
	for i, answer := range r.client.DoMulti(ctx, types...) {
		var err error
		if entries[i].Type, err = answer.ToString(); err != nil {
			return nil, failed("TYPE", err)
		}
	}
	entries = slices.DeleteFunc(entries, func(e Entry) bool { return e.Type == "none" })
	return r.values(ctx, entries)
}

func (r *Redis) values(ctx context.Context, entries []Entry) ([]Entry, error) {
	var reads rueidis.Commands
	var at []int
	for i := range entries {
		if entries[i].Type == wanted(entries[i].Name) {
			reads, at = append(reads, r.read(entries[i])), append(at, i)
		}
	}
	if len(reads) == 0 {
		return entries, nil
	}
	for i, answer := range r.client.DoMulti(ctx, reads...) {
		e := &entries[at[i]]
		switch err := e.fill(answer); {
		case rueidis.IsRedisNil(err), strategy.WrongType(err):
			e.Type = "none" // gone, or of another type by now
		case err != nil:
			return nil, failed("a read", err)
		}
	}
	return slices.DeleteFunc(entries, func(e Entry) bool { return e.Type == "none" }), nil
}

func (r *Redis) read(e Entry) rueidis.Completed {
	switch e.Type {
	case "hash":
		return r.client.B().Hgetall().Key(e.Key).Build()
	case "list":
		return r.client.B().Lrange().Key(e.Key).Start(0).Stop(maxValue).Build()
	case "set":
		return r.client.B().Smembers().Key(e.Key).Build()
	}
	return r.client.B().Get().Key(e.Key).Build()
}

func (e *Entry) fill(answer rueidis.RedisResult) (err error) {
	switch e.Type {
	case "hash":
		if e.Fields, err = answer.AsStrMap(); err == nil && len(e.Fields) == 0 {
			e.Type = "none"
		}
	case "list", "set":
		e.Items, err = answer.AsStrSlice()
	default:
		e.Text, err = answer.ToString()
	}
	return err
}

// Hashes scans the map, whatever its size.
func (r *Redis) Hashes(ctx context.Context, f func(map[string]string) error) error {
	kind, err := r.client.Do(ctx, r.client.B().Type().Key(hashMap).Build()).ToString()
	if err != nil {
		return failed("TYPE", err)
	}
	if kind != "hash" {
		return nil
	}
	for cursor := uint64(0); ; {
		page, err := r.client.Do(ctx, r.client.B().Hscan().Key(hashMap).Cursor(cursor).Count(scanBatch).Build()).AsScanEntry()
		if err != nil {
			return failed("HSCAN", err)
		}
		part := make(map[string]string, len(page.Elements)/2)
		for pair := range slices.Chunk(page.Elements, 2) {
			part[pair[0]] = pair[1]
		}
		if err := f(part); err != nil {
			return err
		}
		if cursor = page.Cursor; cursor == 0 {
			return nil
		}
	}
}

const (
	hashMap = "apikey:hash_map"
	events  = "billing:events"
)

// Events reads the stream from its beginning.
func (r *Redis) Events(ctx context.Context, f func([]string) error) error {
	kind, err := r.client.Do(ctx, r.client.B().Type().Key(events).Build()).ToString()
	if err != nil {
		return failed("TYPE", err)
	}
	if kind != "stream" {
		return nil
	}
	for from := "-"; ; {
		page, err := r.client.Do(ctx, r.client.B().Xrange().Key(events).Start(from).End("+").Count(scanBatch).Build()).AsXRange()
		if err != nil {
			return failed("XRANGE", err)
		}
		if len(page) == 0 {
			return nil
		}
		part := make([]string, len(page))
		for i, event := range page {
			part[i] = event.FieldValues["data"]
		}
		if err := f(part); err != nil {
			return err
		}
		from = "(" + page[len(page)-1].ID
	}
}
