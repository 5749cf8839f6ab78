package sessions

import (
	"context"
	"encoding/hex"
	"time"

	"github.com/seed14a526e0/relaystore/cache"
	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/touches"
	"github.com/seed14a526e0/relaystore/strategy"
)

// soon is how long a session lives at least whose extension may wait: it must not end for
// everybody else meanwhile.
const soon = time.Minute

// touch is an extension as the journal holds it. Seen is the end that the session had when
// its caller was told: where somebody has shortened it below that since, the touch is old.
type touch struct {
	Hash string    `json:"hash"` // of the token, in hex
	Seen time.Time `json:"seen"`
	Ends time.Time `json:"ends"`
}

// Check refuses what is the extension of no session.
func (t touch) Check() error {
	hash, err := hex.DecodeString(t.Hash)
	if err != nil || len(hash) != len(cache.Key{}) || t.Seen.Year() < 2000 || !t.Ends.After(t.Seen) {
		return result.Invalid("hash", "not the extension of a session")
	}
	return nil
}

// touch gives an extension to the journal and tells whether that has acknowledged it. What
// changes or shortens a session, or comes shortly before its end, is written through.
func (r *Repo) touch(ctx context.Context, key cache.Key, patch *Patch, now time.Time, ends *time.Time) (acknowledged, unsure bool) {
	if ends == nil || len(patch.SessionData) > 0 || !r.Touches.On() || r.Primary.InTx() {
		return false, false
	}
	rec, err := r.find(ctx, &key, now)
	if err != nil || rec == nil || !rec.validAt(now.Add(soon)) || !ends.After(rec.ExpiresAt) {
		return false, false
	}
	err = r.Touches.Add(ctx, touch{hex.EncodeToString(key[:]), rec.ExpiresAt, *ends})
	return err == nil, touches.Unsure(err)
}

// applyTouches extends the sessions that have not ended. It drops the touches of others.
func (r *Repo) applyTouches(ctx context.Context, all []touch) (dropped int, err error) {
	var is map[string]bool // the sessions that there are, by hash
	err = strategy.Followed(func() (err error) {
		if s := r.redis(); s != nil {
			is, err = s.applyTouches(ctx, all)
			return err
		}
		is, err = r.extend(ctx, all)
		return err
	})
	for _, t := range all {
		if !is[t.Hash] {
			dropped++
		}
	}
	return dropped, err
}

func (r *Repo) extend(ctx context.Context, all []touch) (is map[string]bool, err error) {
	p := db.SessionTouchParams{Now: r.now().UTC()}
	for _, t := range all {
		hash, _ := hex.DecodeString(t.Hash) // Check has done so
		p.Hashes, p.Seen, p.Ends = append(p.Hashes, hash), append(p.Seen, t.Seen), append(p.Ends, t.Ends)
	}
	err = r.write(ctx, func(ctx context.Context, tx db.DBTX) (stale []cache.Key, err error) {
		rows, err := r.queries.SessionTouch(ctx, tx, p)
		is = make(map[string]bool, len(rows))
		for _, row := range rows {
			is[hex.EncodeToString(row.TokenHash)] = true
			if row.Extended {
				stale = append(stale, cache.Key(row.TokenHash))
			}
		}
		return stale, err
	})
	return is, err
}

// touchScript extends sessions, of 3 values each, as SessionTouch does in PostgreSQL, and
// tells which of them there are.
var touchScript = strategy.NewScript(soundScript + `
local now, is = tonumber(ARGV[1]), {}
for i = 2, #ARGV, 3 do
	local hash, seen, ends = ARGV[i], ARGV[i + 1], ARGV[i + 2]
	local key = '` + sessionKey + `' .. hash
	local last = holds(key, 'hash') and tonumber(redis.call('HGET', key, 'expiresAt'))
	if last and last > now then
		is[#is + 1] = hash
		if last >= tonumber(seen) and last < tonumber(ends) then
			redis.call('HSET', key, 'expiresAt', ends)
			redis.call('ZADD', '` + endsKey + `', ends, hash)
		end
	end
end
return is
`)

// applyTouches is for touches that have waited while Redis became the primary.
func (s *onRedis) applyTouches(ctx context.Context, all []touch) (map[string]bool, error) {
	args := append(make([]string, 0, 1+3*len(all)), micros(s.now()))
	for _, t := range all {
		args = append(args, t.Hash, micros(t.Seen), micros(t.Ends))
	}
	reply, err := s.write(ctx, touchScript, args...)
	if err != nil {
		return nil, err
	}
	hashes, err := reply.AsStrSlice()
	is := make(map[string]bool, len(hashes))
	for _, h := range hashes {
		is[h] = true
	}
	return is, err
}
