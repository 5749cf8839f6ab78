package accounts

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/redis/rueidis"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/internal/legacy"
	"github.com/seed14a526e0/relaystore/strategy"
)

// each gives the accounts, and how many there are on all, by the names of their keys: an
// index may lack some, and making one is a write. One that is damaged is an error.
func (l *legacyAccounts) each(ctx context.Context, take func(f *found, total int) error) error {
	ids, err := l.named(ctx)
	if err != nil {
		return err
	}
	total := 0
	for _, at := range ids {
		total += len(at)
	}
	for _, p := range legacy.AccountPlaces {
		for part := range slices.Chunk(ids[p], listedAtOnce) {
			some, err := l.several(ctx, p, part)
			if err != nil {
				return err
			}
			if len(some) < len(part) {
				if err := l.undamaged(ctx, part); err != nil {
					return err
				}
			}
			for _, f := range some {
				if err := take(f, total); err != nil {
					return moving(f.id, err)
				}
			}
		}
	}
	return nil
}

// undamaged refuses accounts that are there and cannot be read: a move would take them
// for deleted.
func (l *legacyAccounts) undamaged(ctx context.Context, ids []uuid.UUID) error {
	for _, id := range ids {
		if _, err := l.find(ctx, id); err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return moving(id, err)
		}
	}
	return nil
}

// replaceScript: KEYS the index, its none key, the shared set or the index again, the
// account, its refresh, its lock, and all the keys that the account may have; ARGV id,
// 1 where it is shared, kind, pairs to set, and, where a refresh is under way, its
// holder, the end of its lease, its intent and the version of that.
var replaceScript = strategy.NewScript(scriptWords + `
local id, shared, kind = pop(), pop(), pop()
for _, set in ipairs({KEYS[1], KEYS[3]}) do
  if not holds(set, 'set') then return damaged(set) end
end
redis.call('DEL', KEYS[5], unpack(KEYS, 7))
for _ = 1, count() do
  local name, value = pop(), pop()
  if kind == 'hash' then redis.call('HSET', KEYS[4], name, value) else redis.call('SET', KEYS[4], value) end
end
redis.call('SADD', KEYS[1], id)
redis.call('DEL', KEYS[2])
if shared == '1' then redis.call('SADD', KEYS[3], id) elseif KEYS[3] ~= KEYS[1] then redis.call('SREM', KEYS[3], id) end
local holder, lease, intent, version = pop(), count(), pop(), pop()
if holder == '' then return 1 end
redis.call('HSET', KEYS[5], 'holder', holder, 'lease', lease)
if intent ~= '' then redis.call('HSET', KEYS[5], 'intent', intent, 'intentVersion', version) end
redis.call('PEXPIRE', KEYS[5], 2592000000)
if lease > now then redis.call('SET', KEYS[6], holder, 'PX', lease - now) end
return 1`)

// replace makes an account what the other primary has. What the service notes by itself
// stays, where it has the account already.
func (l *legacyAccounts) replace(ctx context.Context, a *moved) error {
	d := a.data()
	fields, err := l.fields(a.ID, &d, a.CreatedAt)
	if err != nil {
		return err
	}
	place, _ := legacy.PlaceOf(a.Platform)
	f := &found{place: place, id: a.ID, fields: fields}
	if err := l.keepState(ctx, f); err != nil {
		return err
	}
	m := StatusMetadata{ErrorMessage: a.ErrorMessage, TokensRemaining: a.TokensRemaining, LastRequestAt: utc(a.LastUsedAt), RateLimitResetAt: utc(a.RateLimitResetAt)}
	for name, value := range f.statusPatch(a.Status, m, a.UpdatedAt).set {
		fields[name] = value
	}
	delete(fields, ownStatusAt)
	if a.StatusAt != nil {
		fields[ownStatusAt] = a.StatusAt.UTC().Format(time.RFC3339Nano)
	}
	pairs, err := f.pairs()
	if err != nil {
		return err
	}
	id, shared := a.ID.String(), "0"
	if place.Shared() != "" && a.AccountType == accountTypes[0] {
		shared = "1"
	}
	others, _ := accountKeys(a.ID)
	keys := append([]string{place.Index(), place.NoneKey(), sharedOr(place), f.key(), refreshKey(a.ID), place.RefreshLock(id)}, others...)
	args := append(append([]string{id, shared, kind(place)}, counted(pairs)...), a.refresh.arguments(f.version())...)
	_, err = l.redis.Write(ctx, strategy.Account, replaceScript, keys, args)
	return err
}

// keepState keeps the service's own fields of the account that is there.
func (l *legacyAccounts) keepState(ctx context.Context, f *found) error {
	all, err := l.several(ctx, f.place, []uuid.UUID{f.id})
	if err != nil || len(all) == 0 {
		return err
	}
	for name, value := range all[0].fields {
		if slices.Contains(stateFields, name) && !slices.Contains(limitFields, name) {
			f.fields[name] = value
		}
	}
	return nil
}

// limitFields are state that comes with the status, and what is our own.
var limitFields = []string{"rateLimitedAt", "rateLimitAutoStopped", "apiKeyCount", ownTokensRemaining, ownStatusAt, ownExtra, ownSecrets, ownCreatedAt}

// pairs are all fields, or the document of a Bedrock account.
func (f *found) pairs() ([]string, error) {
	if f.place.Platform == legacy.Bedrock {
		doc, err := legacy.PatchBedrock("", f.fields)
		return []string{"", doc}, err
	}
	pairs := make([]string, 0, 2*len(f.fields))
	for name, value := range f.fields {
		pairs = append(pairs, name, value)
	}
	return pairs, nil
}

// arguments are those of replaceScript for the tokens of a version.
func (u underway) arguments(version int64) []string {
	if u.holder == uuid.Nil {
		return []string{"", "0", "", ""}
	}
	intent := ""
	if !u.intent.IsZero() {
		intent = strconv.FormatInt(u.intent.UnixMilli(), 10)
	}
	return []string{u.holder.String(), strconv.FormatInt(u.lease.UnixMilli(), 10), intent, strconv.FormatInt(version, 10)}
}

// moved reads an account as the other primary would have it.
func (l *legacyAccounts) moved(ctx context.Context, f *found) (*moved, error) {
	c, err := l.credentials(f)
	if err != nil {
		return nil, err
	}
	row := f.row()
	a := &moved{Account: db.Account{
		ID: row.ID, Platform: row.Platform, Name: row.Name, Description: row.Description, AccountType: row.AccountType,
		Priority: row.Priority, Schedulable: row.Schedulable, Status: row.Status, ErrorMessage: row.ErrorMessage,
		RateLimitResetAt: row.RateLimitResetAt, TokensRemaining: row.TokensRemaining, LastUsedAt: row.LastUsedAt,
		Scopes: row.Scopes, TokenExpiresAt: row.TokenExpiresAt, Details: row.Details, CreatedAt: row.CreatedAt, UpdatedAt: row.UpdatedAt,
		ProxyType: row.ProxyType, ProxyHost: row.ProxyHost, ProxyPort: row.ProxyPort, ProxyUsername: row.ProxyUsername, StatusAt: f.statusAt(),
	}}
	a.texts = texts{accessToken: c.AccessToken, refreshToken: c.RefreshToken, apiKey: c.APIKey, otherSecrets: c.Secrets.text()}
	if c.ProxyConfig != nil {
		a.texts[proxyPassword] = c.ProxyConfig.Password
	}
	a.refresh, err = l.underway(ctx, f)
	return a, err
}

func (l *legacyAccounts) underway(ctx context.Context, f *found) (u underway, err error) {
	var state map[string]string
	err = l.redis.Read(ctx, func(ctx context.Context, c rueidis.Client) (err error) {
		state, err = c.Do(ctx, c.B().Hgetall().Key(refreshKey(f.id)).Build()).AsStrMap()
		return err
	})
	if err != nil {
		return u, err
	}
	lease, intent := utc(moment(state["lease"])), time.Time{}
	if state["intentVersion"] == strconv.FormatInt(f.version(), 10) {
		intent = utc(moment(state["intent"]))
	}
	holder, err := uuid.Parse(state["holder"])
	if err != nil || intent.IsZero() && !lease.After(l.now()) {
		return u, nil
	}
	return underway{holder, lease, intent}, nil
}
