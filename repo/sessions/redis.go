package sessions

import (
	"context"
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/redis/rueidis"

	"github.com/seed14a526e0/relaystore/cache"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

// onRedis is the Repo where Redis is the primary. Its keys are relaystore's own: a
// legacy service's sessions stay what they are. It caches nothing.
//
//   - relaystore:session:HASH is a session, HASH the SHA-256 of its token in hex; times
//     are in microseconds since 1970.
//   - relaystore:sessions:ends orders HASH by its end.
//   - relaystore:sessions:ids and relaystore:sessions:user:USER order ID:HASH by ID.
type onRedis struct {
	*Repo

	store *strategy.Redis
}

// redis gives the Redis side, or nil where the sessions are in PostgreSQL.
func (r *Repo) redis() *onRedis {
	store := r.Place.Redis()
	if store == nil {
		return nil
	}
	return &onRedis{r, store}
}

const (
	sessionKey = "relaystore:session:"
	endsKey    = "relaystore:sessions:ends"
	idsKey     = "relaystore:sessions:ids"
	userKey    = "relaystore:sessions:user:"
)

const (
	// redisBatch bounds what one script deletes: Redis does nothing else meanwhile.
	redisBatch = 200
	// keptEnded is how long a session that has ended stays where nobody cleans up.
	keptEnded = 30 * 24 * time.Hour
)

// soundScript refuses to write where the orders of all users are none.
const soundScript = `
for _, key in ipairs({'` + endsKey + `', '` + idsKey + `'}) do
	if not holds(key, 'zset') then return damaged(key) end
end
`

// goneScript takes a session out of everywhere and tells whether there was one. What may
// fail comes first: the orders of all users are checked before.
const goneScript = soundScript + `
local function gone(hash)
	local key = '` + sessionKey + `' .. hash
	local s = redis.call('HMGET', key, 'id', 'userId')
	if s[1] then redis.call('ZREM', '` + userKey + `' .. s[2], s[1] .. ':' .. hash) end
	redis.call('ZREM', '` + endsKey + `', hash)
	if not s[1] then return 0 end
	redis.call('ZREM', '` + idsKey + `', s[1] .. ':' .. hash)
	return redis.call('DEL', key)
end
`

// createScript stores a session, and lets two go that ended long ago.
var createScript = strategy.NewScript(goneScript + `
local hash, forgotten, id, user, ends = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
if not holds('` + userKey + `' .. user, 'zset') then return damaged('` + userKey + `' .. user) end
for _, old in ipairs(redis.call('ZRANGEBYSCORE', '` + endsKey + `', '-inf', forgotten, 'LIMIT', 0, 2)) do gone(old) end
redis.call('HSET', '` + sessionKey + `' .. hash, 'id', id, 'userId', user, 'expiresAt', ends, unpack(ARGV, 6))
redis.call('ZADD', '` + endsKey + `', ends, hash)
redis.call('ZADD', '` + idsKey + `', 0, id .. ':' .. hash)
redis.call('ZADD', '` + userKey + `' .. user, 0, id .. ':' .. hash)
return 1
`)

// updateScript changes a session that has not ended, and gives its end; "" is that
// there is none.
var updateScript = strategy.NewScript(soundScript + `
local hash, now, ends = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local key = '` + sessionKey + `' .. hash
local last = redis.call('HGET', key, 'expiresAt')
if not last or tonumber(last) <= now then return '' end
if ends ~= '' then
	redis.call('HSET', key, 'expiresAt', ends)
	redis.call('ZADD', '` + endsKey + `', ends, hash)
	last = ends
end
if #ARGV > 3 then redis.call('HSET', key, 'data', ARGV[4]) end
return last
`)

var deleteScript = strategy.NewScript(goneScript + `return gone(ARGV[1])`)

// revokeScript ends the sessions of an id, or those of a user, of whom it takes some, and
// tells of how many members of the order.
var revokeScript = strategy.NewScript(goneScript + `
local key, found = '` + idsKey + `'
if ARGV[1] ~= '' then
	found = redis.call('ZRANGEBYLEX', key, '[' .. ARGV[1] .. ':', '(' .. ARGV[1] .. ';')
else
	key = '` + userKey + `' .. ARGV[2]
	found = redis.call('ZRANGE', key, 0, ARGV[3] - 1)
end
local n = 0
for _, member in ipairs(found) do
	n = n + gone(string.sub(member, -64))
	redis.call('ZREM', key, member) -- also where the session is gone, and nobody has told
end
return {n, #found}
`)

var cleanupScript = strategy.NewScript(goneScript + `
local found, n = redis.call('ZRANGEBYSCORE', '` + endsKey + `', '-inf', ARGV[1], 'LIMIT', 0, ARGV[2]), 0
for _, hash in ipairs(found) do n = n + gone(hash) end
return {n, #found}
`)

func (s *onRedis) read(ctx context.Context, f func(context.Context, rueidis.Client) error) error {
	if err := s.Primary.RefuseTx(ctx, strategy.Session); err != nil {
		return err
	}
	return s.store.Read(ctx, f)
}

// write is the one way to change sessions in Redis.
func (s *onRedis) write(ctx context.Context, script *strategy.Script, args ...string) (rueidis.RedisMessage, error) {
	if err := s.Primary.RefuseTx(ctx, strategy.Session); err != nil {
		return rueidis.RedisMessage{}, err
	}
	return s.store.Write(ctx, strategy.Session, script, nil, args)
}

// counted is write for a script that counts what it has deleted.
func (s *onRedis) counted(ctx context.Context, script *strategy.Script, args ...string) (int, error) {
	reply, err := s.write(ctx, script, args...)
	if err != nil {
		return 0, err
	}
	n, err := reply.AsInt64()
	return int(n), err
}

// some is write for a script that deletes up to redisBatch at a time, and counts what it
// has deleted and what it has looked at; more tells that there may be more.
func (s *onRedis) some(ctx context.Context, script *strategy.Script, args ...string) (n int, more bool, err error) {
	reply, err := s.write(ctx, script, args...)
	if err != nil {
		return 0, false, err
	}
	counts, err := reply.AsIntSlice()
	if err != nil || len(counts) != 2 {
		return 0, false, result.Internal
	}
	return int(counts[0]), counts[1] >= redisBatch, nil
}

func micros(t time.Time) string { return strconv.FormatInt(t.UnixMicro(), 10) }

func fromMicros(text string) time.Time {
	n, _ := strconv.ParseInt(text, 10, 64) // scripts alone write it
	return time.UnixMicro(n).UTC()
}

func (s *onRedis) create(ctx context.Context, hash cache.Key, d *Data, ip string, now, ends time.Time) error {
	_, err := s.write(ctx, createScript, hex.EncodeToString(hash[:]), micros(now.Add(-keptEnded)),
		uuid.Must(uuid.NewV7()).String(), d.UserID, micros(ends),
		"userType", string(d.UserType), "data", string(d.SessionData), "ipAddress", ip, "userAgent", d.UserAgent, "createdAt", micros(now))
	return err
}

// load reads a session; nil means that there is none.
func (s *onRedis) load(ctx context.Context, hash *cache.Key) (*record, error) {
	var found []string
	err := s.read(ctx, func(ctx context.Context, c rueidis.Client) (err error) {
		found, err = c.Do(ctx, c.B().Hmget().Key(sessionKey+hex.EncodeToString(hash[:])).Field("userId", "userType", "expiresAt", "data").Build()).AsStrSlice()
		return err
	})
	if err != nil || len(found) != 4 || found[0] == "" {
		return nil, err
	}
	return &record{known{UserID: found[0], UserType: UserType(found[1]), ExpiresAt: fromMicros(found[2])}, []byte(found[3])}, nil
}

func (s *onRedis) update(ctx context.Context, hash cache.Key, p Patch, now time.Time, ends *time.Time) (time.Time, error) {
	args := []string{hex.EncodeToString(hash[:]), micros(now), ""}
	if ends != nil {
		args[2] = micros(*ends)
	}
	if len(p.SessionData) > 0 {
		args = append(args, string(p.SessionData))
	}
	reply, err := s.write(ctx, updateScript, args...)
	if err != nil {
		return time.Time{}, err
	}
	text, err := reply.ToString()
	if err == nil && text == "" {
		err = errUnknown
	}
	return fromMicros(text), err
}

// found makes a count of none RecordNotFound.
func found(n int, err error) error {
	if err == nil && n == 0 {
		return errUnknown
	}
	return err
}

func (s *onRedis) delete(ctx context.Context, hash cache.Key) error {
	return found(s.counted(ctx, deleteScript, hex.EncodeToString(hash[:])))
}

func (s *onRedis) revoke(ctx context.Context, id uuid.UUID) error {
	n, _, err := s.some(ctx, revokeScript, id.String())
	return found(n, err)
}

func (s *onRedis) revokeUser(ctx context.Context, userID string) (all Revoked, err error) {
	for {
		n, more, err := s.some(ctx, revokeScript, "", userID, strconv.Itoa(redisBatch))
		if err != nil {
			return Revoked{}, result.From(err).With("revokedSessions", all.RevokedSessions)
		}
		if all.RevokedSessions += n; !more {
			return all, nil
		}
	}
}

func (s *onRedis) countExpired(ctx context.Context, now time.Time) (n int64, err error) {
	err = s.read(ctx, func(ctx context.Context, c rueidis.Client) (err error) {
		n, err = c.Do(ctx, c.B().Zcount().Key(endsKey).Min("-inf").Max(micros(now)).Build()).AsInt64()
		return err
	})
	return n, err
}

func (s *onRedis) cleanup(ctx context.Context, now time.Time, progress func(deleted int)) (Cleaned, error) {
	var all Cleaned
	for {
		n, more, err := s.some(ctx, cleanupScript, micros(now), strconv.Itoa(redisBatch))
		if err != nil {
			return Cleaned{}, result.From(err).With("deletedSessions", all.DeletedSessions)
		}
		all.DeletedSessions += n
		progress(all.DeletedSessions)
		if !more {
			return all, nil
		}
	}
}

func (s *onRedis) list(ctx context.Context, f Filters, before uuid.UUID, now time.Time) (page Page, err error) {
	key, top := idsKey, "+"
	if f.UserID != "" {
		key = userKey + f.UserID
	}
	if before != uuid.Max {
		top = "(" + before.String()
	}
	err = s.read(ctx, func(ctx context.Context, c rueidis.Client) error {
		page.Sessions = []Session{}
		members, err := c.Do(ctx, c.B().Zrevrangebylex().Key(key).Max(top).Min("-").Limit(0, int64(f.Limit)).Build()).AsStrSlice()
		if err != nil {
			return err
		}
		cmds := make(rueidis.Commands, len(members))
		for i, member := range members {
			_, hash, _ := strings.Cut(member, ":")
			cmds[i] = c.B().Hmget().Key(sessionKey+hash).Field("id", "userId", "userType", "ipAddress", "userAgent", "createdAt", "expiresAt").Build()
		}
		for _, reply := range c.DoMulti(ctx, cmds...) {
			v, err := reply.AsStrSlice()
			if err != nil {
				return err
			}
			if len(v) == 7 && v[0] != "" { // else it has gone since
				ends := fromMicros(v[6])
				page.Sessions = append(page.Sessions, Session{
					ID: v[0], UserID: v[1], UserType: UserType(v[2]), IPAddress: v[3], UserAgent: v[4],
					CreatedAt: fromMicros(v[5]), ExpiresAt: ends, IsValid: now.Before(ends),
				})
			}
		}
		return nil
	})
	return page, err
}
