package strategy

import (
	"context"
	"crypto/sha1" //nolint:gosec // as below
	"encoding/hex"
	"errors"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"github.com/seed14a526e0/relaystore/repo/result"
)

// Redis is the Redis primary as the repos see it: one server, not a Cluster, in the
// legacy service's layout, which that service may go on using. Reads see what any
// writer has left; each write is one script, which the server runs whole or not at all.
type Redis struct {
	// Connect makes a client that tracks nothing and shares no connection with the
	// cache. It is called at the first use, and again after it has failed.
	Connect func() (rueidis.Client, error)
	// Retry decides about failed calls; the zero value never repeats.
	Retry RetryPolicy
	// OpTimeout bounds a call whose context has no deadline, all its retries together.
	OpTimeout time.Duration
	// Zone is the layout's fixed offset, in which it names hours, days and months.
	Zone *time.Location
	// EncryptionKey is the legacy service's ENCRYPTION_KEY, taken as text.
	EncryptionKey string

	switches *Switches
	mu       sync.Mutex
	client   rueidis.Client
}

// DefaultZoneOffset is the legacy service's TIMEZONE_OFFSET, in hours.
const DefaultZoneOffset = 8

// Read runs f, which must only read, and repeats it where that may help.
func (r *Redis) Read(ctx context.Context, f func(context.Context, rueidis.Client) error) error {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	return r.Retry.Do(ctx, func() error {
		client, err := r.connected()
		if err != nil {
			return err
		}
		return redisError(ctx, f(ctx, client))
	}, always)
}

func (r *Redis) connected() (rueidis.Client, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.client != nil {
		return r.client, nil
	}
	client, err := r.Connect()
	if err != nil {
		return nil, result.ConnectionFailed
	}
	r.client = client
	return client, nil
}

// Close ends the connection. A nil Redis has none.
func (r *Redis) Close() {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.client != nil {
		r.client.Close()
	}
}

// Script changes a data type's records in one step.
type Script struct {
	lua       *rueidis.Lua
	text, sha string
}

// fencedBy starts the error of a script that found another epoch.
const fencedBy = "FENCED"

// NewScript makes a Script of Lua that finds the caller's KEYS and ARGV. Its own
// errors are replies of redis.error_reply, which Write gives as they are.
func NewScript(body string) *Script {
	text := `
local epoch = redis.call('GET', KEYS[1])
if epoch ~= ARGV[1] then return redis.error_reply('` + fencedBy + ` ' .. (epoch or 'none')) end
table.remove(KEYS, 1)
table.remove(ARGV, 1)
` + body
	sum := sha1.Sum([]byte(text)) //nolint:gosec // the name by which Redis knows a script
	return &Script{lua: rueidis.NewLuaScript(text), text: text, sha: hex.EncodeToString(sum[:])}
}

// Write runs a script where t's epoch is the one that this process follows, in one
// round trip once the server knows the script. Where another process has switched t, or
// is about to, it follows that and is ReadOnly: the caller looks where t is now. It is
// not repeated after a failure that may have changed something, which is an error with
// details.outcomeUnknown.
func (r *Redis) Write(ctx context.Context, t DataType, s *Script, keys, args []string) (rueidis.RedisMessage, error) {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	client, err := r.connected()
	if err != nil {
		return rueidis.RedisMessage{}, err
	}
	epoch := r.switches.State(t).Epoch
	reply, err := s.lua.Exec(ctx, client, append([]string{EpochKey(t)}, keys...), append([]string{strconv.FormatInt(epoch, 10)}, args...)).ToMessage()
	if e, ok := rueidis.IsRedisErr(err); ok && strings.HasPrefix(e.Error(), fencedBy) {
		_ = r.switches.Look(ctx)
		return reply, result.ReadOnly
	}
	_, answered := rueidis.IsRedisErr(err)
	if err = redisError(ctx, err); err != nil && !answered {
		return reply, outcomeUnknown(err)
	}
	return reply, err
}

// EpochKey is where a Redis primary keeps t's epoch, beside the legacy layout.
func EpochKey(t DataType) string { return "relaystore:epoch:" + string(t) }

func (r *Redis) setEpoch(ctx context.Context, t DataType, epoch int64) error {
	return r.Read(ctx, func(ctx context.Context, c rueidis.Client) error {
		return c.Do(ctx, c.B().Set().Key(EpochKey(t)).Value(strconv.FormatInt(epoch, 10)).Build()).Error()
	})
}

func (r *Redis) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, has := ctx.Deadline(); has {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, r.OpTimeout)
}

// redisError gives a failure of the client its code. What the server answered stays as
// it is, and so does what is typed already.
func redisError(ctx context.Context, err error) error {
	var typed *result.Error
	_, answered := rueidis.IsRedisErr(err)
	switch {
	case err == nil, answered, errors.As(err, &typed):
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return result.ConnectionFailed
}

// Place tells a repo where its data type's system of record is. A nil Place is
// PostgreSQL.
type Place struct {
	store   *Redis
	onRedis atomic.Bool
}

// Redis gives the Redis primary, or nil where PostgreSQL is the primary.
func (p *Place) Redis() *Redis {
	if p == nil || !p.onRedis.Load() {
		return nil
	}
	return p.store
}
