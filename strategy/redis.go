package strategy

import (
	"context"
	"crypto/sha1" //nolint:gosec // as below
	"encoding/hex"
	"errors"
	"strconv"
	"strings"
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
	// Watch makes a client of one connection that tells of every change, by anybody, of a
	// key with one of the prefixes, and tells nil where it may have missed some.
	Watch func(prefixes []string, changed func([]rueidis.RedisMessage)) (rueidis.Client, error)
	// Retry decides about failed calls; the zero value never repeats.
	Retry RetryPolicy
	// OpTimeout bounds a call whose context has no deadline, all its retries together.
	OpTimeout time.Duration
	// Zone is the layout's fixed offset, in which it names hours, days and months.
	Zone *time.Location
	// EncryptionKey is the legacy service's ENCRYPTION_KEY, taken as text.
	EncryptionKey string

	switches *Switches
	token    string // of the move whose copy writes; else ""
	conn     connection
}

// DefaultZoneOffset is the legacy service's TIMEZONE_OFFSET, in hours.
const DefaultZoneOffset = 8

// Read runs f, which must only read, and repeats it where that may help.
func (r *Redis) Read(ctx context.Context, f func(context.Context, rueidis.Client) error) error {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	return r.Retry.Do(ctx, func() error {
		client, err := r.connected(ctx)
		if err != nil {
			return err
		}
		return r.failed(ctx, f(ctx, client))
	}, always)
}

// Script changes a data type's records in one step.
type Script struct {
	lua       *rueidis.Lua
	text, sha string
}

// fencedBy starts the error of a script that found another epoch.
const fencedBy = "FENCED"

// damaged starts the error of a script that found a key that is not what it should be.
const damaged = "DAMAGED "

// NewScript makes a Script of Lua that finds the caller's KEYS and ARGV. Redis takes
// nothing back of what a script has done before it failed: a script checks by
// holds(key, kind) what it will write, before it does, and returns damaged(key), which
// Write gives as ConstraintViolation with details.key. A kind is TYPE's, and none is as
// good. Its other errors are replies of redis.error_reply, which Write gives as they are.
func NewScript(body string) *Script {
	text := `
local epoch = redis.call('GET', KEYS[1])
if epoch ~= ARGV[1] then return redis.error_reply('` + fencedBy + ` ' .. (epoch or '` + none + `')) end
table.remove(KEYS, 1)
table.remove(ARGV, 1)
local function damaged(key) return redis.error_reply('` + damaged + `' .. key) end
local function holds(key, kind)
  local found = redis.call('TYPE', key).ok
  return found == 'none' or found == kind
end
` + body
	sum := sha1.Sum([]byte(text)) //nolint:gosec // the name by which Redis knows a script
	return &Script{lua: rueidis.NewLuaScript(text), text: text, sha: hex.EncodeToString(sum[:])}
}

// Write runs a script where t's epoch is the one that this process follows, in one
// round trip once the server knows the script. While t is being moved it waits, until
// the caller's deadline; then it is ReadOnly. Where PostgreSQL is the primary by now it
// is ErrMoved. It is not repeated after a failure that may have changed something, which
// is an error with details.outcomeUnknown.
func (r *Redis) Write(ctx context.Context, t DataType, s *Script, keys, args []string) (rueidis.RedisMessage, error) {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	for {
		epoch, err := r.pass(ctx, t)
		if err != nil {
			return rueidis.RedisMessage{}, err
		}
		reply, found, err := r.run(ctx, t, s, epoch, keys, args)
		switch {
		case found == "":
			return reply, err
		case r.token != "":
			return reply, errLost
		}
		if r.switches.Look(ctx) != nil || r.repair(ctx, t, found) != nil {
			return reply, errPaused
		}
	}
}

// pass gives what t's epoch key must hold for a script to run.
func (r *Redis) pass(ctx context.Context, t DataType) (string, error) {
	if r.token != "" {
		return r.token, nil
	}
	epoch, err := r.switches.await(ctx, t, PrimaryRedis)
	return epochText(epoch), err
}

// run tells what it has found in the place of the epoch.
func (r *Redis) run(ctx context.Context, t DataType, s *Script, epoch string, keys, args []string) (reply rueidis.RedisMessage, found string, err error) {
	client, err := r.reach(ctx)
	if err != nil {
		return reply, "", err
	}
	reply, err = s.lua.Exec(ctx, client, append([]string{EpochKey(t)}, keys...), append([]string{epoch}, args...)).ToMessage()
	e, answered := rueidis.IsRedisErr(err)
	if answered {
		if found, fenced := strings.CutPrefix(e.Error(), fencedBy+" "); fenced {
			return reply, found, err
		}
	}
	if err = r.failed(ctx, err); err != nil && !answered {
		return reply, "", outcomeUnknown(err)
	}
	return reply, "", damage(err)
}

// damage types what damaged(key) has answered.
func damage(err error) error {
	if refused, is := rueidis.IsRedisErr(err); is {
		if key, found := strings.CutPrefix(refused.Error(), damaged); found {
			return result.New(result.ConstraintViolation, "a key in Redis is not what the layout says, or its counter is full: nothing is written").With("key", key)
		}
	}
	return err
}

// EpochKey is where a Redis primary keeps t's epoch, beside the legacy layout: a number
// lets the writers that follow it write, "held" and a move's id only its copy.
func EpochKey(t DataType) string { return "relaystore:epoch:" + string(t) }

// none is what a script finds where there is no epoch.
const none = "none"

func epochText(epoch int64) string { return strconv.FormatInt(epoch, 10) }

// repair puts the epoch in the place of what a writer has found there, where PostgreSQL
// says, later than that, that Redis is the primary and nobody moves it: who has put it
// there is gone then, and if another move has begun meanwhile, it has changed it. A later
// epoch than PostgreSQL's is none that it can mend.
func (r *Redis) repair(ctx context.Context, t DataType, found string) error {
	st := r.switches.State(t)
	if st.Step != "" || st.PrimaryStorage != PrimaryRedis || epochText(st.fence) == found {
		return nil
	}
	if later, err := strconv.ParseInt(found, 10, 64); err == nil && later > st.fence {
		return errPaused
	}
	_, err := r.replaceEpoch(ctx, t, found, epochText(st.fence))
	return err
}

// hold lets nobody but the copy of a move write from now on.
func (r *Redis) hold(ctx context.Context, t DataType, token string) error {
	for {
		client, err := r.connected(ctx)
		if err != nil {
			return err
		}
		found, err := client.Do(ctx, client.B().Get().Key(EpochKey(t)).Build()).ToString()
		if rueidis.IsRedisNil(err) {
			found, err = none, nil
		}
		if err != nil {
			return redisError(ctx, err)
		}
		if done, err := r.replaceEpoch(ctx, t, found, token); done || err != nil {
			return err
		}
	}
}

var replaceEpoch = rueidis.NewLuaScript(`
if (redis.call('GET', KEYS[1]) or '` + none + `') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1`)

func (r *Redis) replaceEpoch(ctx context.Context, t DataType, found, next string) (done bool, err error) {
	client, err := r.connected(ctx)
	if err != nil {
		return false, err
	}
	n, err := replaceEpoch.Exec(ctx, client, []string{EpochKey(t)}, []string{found, next}).AsInt64()
	return n == 1, redisError(ctx, err)
}

// copying gives the same primary for the copy of a move.
func (r *Redis) copying(token string) *Redis {
	return &Redis{
		Connect: func() (rueidis.Client, error) { return r.connected(context.Background()) }, Retry: r.Retry, OpTimeout: r.OpTimeout, Zone: r.Zone, EncryptionKey: r.EncryptionKey,
		switches: r.switches, token: token,
	}
}

// WrongType tells of a command's error that the key holds something else than it takes.
func WrongType(err error) bool {
	refused, answered := rueidis.IsRedisErr(err)
	return answered && strings.HasPrefix(refused.Error(), "WRONGTYPE")
}

func (r *Redis) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, has := ctx.Deadline(); has {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, r.OpTimeout)
}

// redisError gives a failure of the client its code. What the server answered stays as
// it is, but that it is still reading its files, and so does what is typed already.
func redisError(ctx context.Context, err error) error {
	var typed *result.Error
	reply, answered := rueidis.IsRedisErr(err)
	switch {
	case answered && reply.IsLoading():
		return result.ConnectionFailed
	case err == nil, answered, errors.As(err, &typed):
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	case late(err):
		return result.QueryTimeout
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

// Follow runs a write of a repo that asks its Place where to go, and again while that
// has moved under way: it has changed nothing then.
func Follow[T any](write func() (T, error)) (T, error) {
	for {
		if v, err := write(); !errors.Is(err, ErrMoved) {
			return v, err
		}
	}
}

// Followed is Follow for a write that gives nothing.
func Followed(write func() error) error {
	_, err := Follow(func() (struct{}, error) { return struct{}{}, write() })
	return err
}
