package accounts

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/redis/rueidis"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/internal/legacy"
	"github.com/seed14a526e0/relaystore/strategy"
)

// refreshKey is how the refreshes of an account stand: a key of our own. Beside it, the
// service's lock is taken, so that it never refreshes at the same time.
func refreshKey(id uuid.UUID) string { return "relaystore:refresh:" + id.String() }

// refreshWords need KEYS account, refresh, lock. What is known of refreshes goes after
// 30 days in which there was none.
const refreshWords = `
local function keep() redis.call('PEXPIRE', KEYS[2], 2592000000) end
local function unlock(holder)
  if redis.call('GET', KEYS[3]) == holder then redis.call('DEL', KEYS[3]) end
end
local function outcome_of(version, answers, failure, reason, status, retry)
  redis.call('HSET', KEYS[2], 'finished', now, 'finishedVersion', version, 'answers', now + answers,
    'failure', failure, 'reason', reason, 'status', status, 'retry', retry > 0 and now + retry or 0)
  keep()
end
local function failed()
  local holder, version, resolved, answers = pop(), pop(), pop(), count()
  local failure, reason, status, retry = pop(), pop(), pop(), count()
  if redis.call('HGET', KEYS[2], 'holder') ~= holder then return end
  redis.call('HSET', KEYS[2], 'lease', now)
  if resolved == 'true' then redis.call('HDEL', KEYS[2], 'intent', 'intentVersion') end
  outcome_of(version, answers, failure, reason, status, retry)
  unlock(holder)
end
local function done()
  local holder, version, answers = pop(), pop(), count()
  if redis.call('HGET', KEYS[2], 'holder') == holder then
    redis.call('HSET', KEYS[2], 'lease', now)
    redis.call('HDEL', KEYS[2], 'intent', 'intentVersion')
  end
  outcome_of(version, answers, '', '', '0', 0)
  unlock(holder)
end
local function held(holder)
  local lock = redis.call('GET', KEYS[3])
  return lock and lock ~= holder
end
`

var (
	// leaseScript: ARGV holder, lease in milliseconds. It is 1 where the holder has it.
	leaseScript = strategy.NewScript(scriptWords + refreshWords + `
local holder, lease = pop(), count()
local state = redis.call('HMGET', KEYS[2], 'holder', 'lease')
if redis.call('EXISTS', KEYS[1]) == 0 or held(holder) then return 0 end
if state[1] and state[1] ~= holder and tonumber(state[2] or 0) > now then return 0 end
redis.call('HSET', KEYS[2], 'holder', holder, 'lease', now + lease)
redis.call('SET', KEYS[3], holder, 'PX', lease)
keep()
return 1`)

	// intendScript: ARGV holder, lease, version. It is 1 where the holder still has it.
	intendScript = strategy.NewScript(scriptWords + refreshWords + `
local holder, lease, version = pop(), count(), pop()
local state = redis.call('HMGET', KEYS[2], 'holder', 'lease')
if state[1] ~= holder or tonumber(state[2]) <= now or held(holder) then return 0 end
redis.call('HSET', KEYS[2], 'lease', now + lease, 'intent', now, 'intentVersion', version)
redis.call('HDEL', KEYS[2], 'finished', 'answers')
redis.call('SET', KEYS[3], holder, 'PX', lease)
keep()
return 1`)

	releaseScript = strategy.NewScript(scriptWords + refreshWords + `
local holder = pop()
local had = redis.call('HGET', KEYS[2], 'holder') == holder
unlock(holder)
if had then redis.call('HSET', KEYS[2], 'lease', now) end
return 1`)

	// standingScript is findScript, with what is known of the refreshes and the lock:
	// KEYS the places, the refresh, the locks of the places; ARGV the places' kinds.
	standingScript = rueidis.NewLuaScriptReadOnly(`
local time = redis.call('TIME')
local n = #ARGV
for i = 1, n do
  if redis.call('TYPE', KEYS[i]).ok == ARGV[i] then
    return {i, redis.call(ARGV[i] == 'hash' and 'HGETALL' or 'GET', KEYS[i]), redis.call('HGETALL', KEYS[n + 1]),
      redis.call('GET', KEYS[n + 1 + i]) or '', redis.call('PTTL', KEYS[n + 1 + i]), time[1] * 1000 + math.floor(time[2] / 1000)}
  end
end
return false`)
)

var _ refreshStore = (*legacyAccounts)(nil)

func (l *legacyAccounts) standing(ctx context.Context, id uuid.UUID) (*standing, error) {
	keys, kinds := accountKeys(id)
	keys = append(keys, refreshKey(id))
	for _, p := range legacy.AccountPlaces {
		keys = append(keys, p.RefreshLock(id.String()))
	}
	reply, err := l.look(ctx, standingScript, keys, kinds)
	if err != nil {
		return nil, err
	}
	f, err := readFound(id, reply)
	if err != nil {
		return nil, err
	}
	rec, _, err := l.openRecord(f)
	if err != nil {
		return nil, err
	}
	s := &standing{AccountRefreshGetRow: f.refreshRow()}
	s.texts[accessToken], s.texts[refreshToken] = rec.AccessToken, rec.RefreshToken
	if rec.Proxy != nil {
		s.texts[proxyPassword] = rec.Proxy.Password
	}
	return s, s.readState(reply[2:], l.refreshes.lease)
}

func (f *found) refreshRow() db.AccountRefreshGetRow {
	row := f.row()
	return db.AccountRefreshGetRow{
		Platform: row.Platform, Scopes: row.Scopes, TokenExpiresAt: row.TokenExpiresAt, Details: row.Details,
		ProxyType: row.ProxyType, ProxyHost: row.ProxyHost, ProxyPort: row.ProxyPort, ProxyUsername: row.ProxyUsername,
		CredentialsVersion: f.version(), UpdatedAt: row.UpdatedAt,
	}
}

// version stands for the tokens that are stored. It changes with each closing of them,
// so whoever finds another one compares what is inside.
func (f *found) version() int64 { return versionOf(f.fields) }

func versionOf(fields map[string]string) int64 {
	sum := sha256.New()
	for _, name := range tokenFields {
		sum.Write([]byte(fields[name] + "\n"))
	}
	return int64(binary.BigEndian.Uint64(sum.Sum(nil)) >> 1) //nolint:gosec // 63 bits
}

var tokenFields = []string{"accessToken", "refreshToken", "claudeAiOauth", "geminiOauth", "openaiOauth"}

// readState reads what standingScript gives behind the account. A lock of the service
// is a lease; one that never ends is prolonged by lease each time.
func (s *standing) readState(reply []rueidis.RedisMessage, lease time.Duration) error {
	fields, err := reply[0].AsStrMap()
	if err != nil {
		return err
	}
	lock, _ := reply[1].ToString()
	left, _ := reply[2].AsInt64()
	now, err := reply[3].AsInt64()
	if err != nil {
		return err
	}
	s.Now = time.UnixMilli(now).UTC()
	s.LeaseExpiresAt = moment(fields["lease"])
	if lock != "" && lock != fields["holder"] {
		until := s.Now.Add(time.Duration(left) * time.Millisecond)
		if left < 0 {
			until = s.Now.Add(lease)
		}
		if !s.held() || until.After(*s.LeaseExpiresAt) {
			s.LeaseExpiresAt = &until
		}
	}
	s.IntentAt, s.IntentVersion = moment(fields["intent"]), number(fields["intentVersion"])
	s.FinishedAt, s.FinishedVersion, s.AnswersUntil = moment(fields["finished"]), number(fields["finishedVersion"]), moment(fields["answers"])
	failure, reason := fields["failure"], fields["reason"]
	code, _ := strconv.ParseInt(fields["status"], 10, 32)
	status := int32(code) //nolint:gosec // parsed as 32 bits
	s.Failure, s.FailureReason, s.FailureStatus, s.FailureRetryAt = &failure, &reason, &status, moment(fields["retry"])
	return nil
}

func number(text string) *int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return nil
	}
	return &n
}

// moment reads milliseconds since 1970; 0 is none.
func moment(text string) *time.Time {
	ms := number(text)
	if ms == nil || *ms == 0 {
		return nil
	}
	t := time.UnixMilli(*ms).UTC()
	return &t
}

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// refreshStep runs one of the scripts that change how a refresh stands.
func (l *legacyAccounts) refreshStep(ctx context.Context, id uuid.UUID, s *strategy.Script, args ...string) (bool, error) {
	f, err := l.find(ctx, id)
	if err != nil {
		return false, err
	}
	reply, err := l.redis.Write(ctx, strategy.Account, s, []string{f.key(), refreshKey(id), f.place.RefreshLock(id.String())}, args)
	if err != nil {
		return false, err
	}
	n, err := reply.AsInt64()
	return n == 1, err
}

func (l *legacyAccounts) lease(ctx context.Context, id, holder uuid.UUID, lease time.Duration) (bool, error) {
	return l.refreshStep(ctx, id, leaseScript, holder.String(), milliseconds(lease))
}

func (l *legacyAccounts) release(ctx context.Context, id, holder uuid.UUID) error {
	_, err := l.refreshStep(ctx, id, releaseScript, holder.String())
	return err
}

func (l *legacyAccounts) intend(ctx context.Context, id, holder uuid.UUID, version int64, lease time.Duration) (bool, error) {
	return l.refreshStep(ctx, id, intendScript, holder.String(), milliseconds(lease), strconv.FormatInt(version, 10))
}

// failed are the arguments of a failure.
func (o *outcome) failed() []string {
	e := o.failure
	return []string{
		"failed", o.holder.String(), strconv.FormatInt(o.version, 10), strconv.FormatBool(o.resolved), milliseconds(o.answers),
		string(e.Kind), e.reason(), strconv.Itoa(e.Status), milliseconds(e.RetryAfter),
	}
}

func (l *legacyAccounts) finish(ctx context.Context, o outcome) error {
	_, err := l.change(ctx, o.id, func(*found) (patch, error) { return patch{then: o.failed()}, nil })
	return err
}

// stands tells whether the refresh token is still the one that was read at a version.
func (l *legacyAccounts) stands(f *found, version int64, used string) (rec legacy.AccountRecord, same bool, err error) {
	rec, _, err = l.openRecord(f)
	return rec, err == nil && (f.version() == version || rec.RefreshToken == used), err
}

func (l *legacyAccounts) refuse(ctx context.Context, o outcome, used, message string) (same bool, err error) {
	_, err = l.change(ctx, o.id, func(f *found) (p patch, err error) {
		var rec legacy.AccountRecord
		if rec, same, err = l.stands(f, o.version, used); err != nil {
			return p, err
		}
		if same && status(&rec) != Inactive { // new credentials would activate it
			p = f.statusPatch(InError, StatusMetadata{ErrorMessage: message}, l.millisecond())
			p.watch = append(p.watch, tokenFields...)
		}
		p.then = o.failed()
		return p, nil
	})
	return same, err
}

func (l *legacyAccounts) store(ctx context.Context, u *unstored) (Refreshed, error) {
	at, err := l.change(ctx, u.id, func(f *found) (patch, error) {
		rec, same, err := l.stands(f, u.version, u.used)
		if err == nil && !same {
			err = errReplaced
		}
		if err != nil {
			return patch{}, err
		}
		return l.tokensPatch(f, rec, u)
	})
	if err != nil {
		return Refreshed{}, err
	}
	t := u.tokens
	return Refreshed{AccessToken: t.AccessToken, ExpiresAt: t.ExpiresAt, RefreshedAt: at}, nil
}

// tokensPatch stores what a refresh gave. The error that a refused token has set ends.
func (l *legacyAccounts) tokensPatch(f *found, rec legacy.AccountRecord, u *unstored) (patch, error) {
	t := u.tokens
	rec.AccessToken, rec.ExpiresAt = t.AccessToken, t.ExpiresAt
	if t.RefreshToken != "" {
		rec.RefreshToken = t.RefreshToken
	}
	if t.Scopes != nil {
		rec.Scopes = t.Scopes
	}
	set, err := l.encoder(rec).Credentials(true, false, false, false)
	if err != nil {
		return patch{}, err
	}
	if status(&rec) == InError && slices.Contains([]string{messageRefused, messageLost}, rec.ErrorMessage) {
		set["status"], set["errorMessage"] = Active, ""
	}
	now := legacy.TimeText(l.millisecond())
	if set["updatedAt"] = now; rec.Platform == OpenAI {
		set["lastRefresh"] = now
	} else {
		set["lastRefreshAt"] = now
	}
	then := []string{"done", u.holder.String(), strconv.FormatInt(versionOf(f.after(set)), 10), milliseconds(l.refreshes.answers)}
	return patch{set: set, watch: []string{"status", "errorMessage", "isActive", "idToken"}, then: then}, nil
}

// after is what the fields are when a patch has set some.
func (f *found) after(set map[string]string) map[string]string {
	fields := make(map[string]string, len(tokenFields))
	for _, name := range tokenFields {
		fields[name] = f.fields[name]
		if text, is := set[name]; is {
			fields[name] = text
		}
	}
	return fields
}

func (l *legacyAccounts) due(ctx context.Context) ([]uuid.UUID, error) {
	all, err := l.all(ctx, "")
	if err != nil {
		return nil, err
	}
	soon := l.now().Add(l.RefreshAhead)
	expiry := make(map[uuid.UUID]time.Time)
	due := slices.DeleteFunc(all, func(f *found) bool {
		rec := f.record()
		expiry[f.id] = rec.ExpiresAt
		word := status(&rec)
		return f.fields["refreshToken"] == "" || word != Active && word != RateLimited || rec.ExpiresAt.IsZero() || rec.ExpiresAt.After(soon)
	})
	if due, err = l.withoutFailed(ctx, due); err != nil {
		return nil, err
	}
	slices.SortFunc(due, func(a, b *found) int { return expiry[a.id].Compare(expiry[b.id]) })
	ids := make([]uuid.UUID, 0, min(len(due), aheadRows))
	for _, f := range due[:cap(ids)] {
		ids = append(ids, f.id)
	}
	return ids, nil
}

// withoutFailed leaves out those whose refresh has failed a short while ago.
func (l *legacyAccounts) withoutFailed(ctx context.Context, due []*found) ([]*found, error) {
	var rest []*found
	for part := range slices.Chunk(due, listedAtOnce) {
		err := l.redis.Read(ctx, func(ctx context.Context, c rueidis.Client) error {
			asked := make(rueidis.Commands, len(part))
			for i, f := range part {
				asked[i] = c.B().Hmget().Key(refreshKey(f.id)).Field("failure", "finishedVersion", "finished").Build()
			}
			kept := rest
			for i, reply := range c.DoMulti(ctx, asked...) {
				known, err := reply.AsStrSlice()
				if err != nil {
					return err
				}
				finished := moment(known[2])
				same := known[1] == strconv.FormatInt(part[i].version(), 10)
				if known[0] == "" || !same || finished == nil || finished.Before(l.now().Add(-l.RefreshAhead/4)) {
					kept = append(kept, part[i])
				}
			}
			rest = kept
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return rest, nil
}
