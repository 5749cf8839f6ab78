package importer_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/legacy"
)

// service writes what the legacy service would, as far as an import reads it.
type service struct {
	hashes map[string]map[string]string
	texts  map[string]string
	cipher *legacy.Cipher
	zone   *time.Location
	truth  map[string]legacyUsage // by id of the key or account
	costs  map[string]float64     // in binary, as the service adds
	hours  map[string]int64       // requests, by the names of what counts a key's hours
}

func newService() *service {
	return &service{
		hashes: make(map[string]map[string]string), texts: make(map[string]string), cipher: legacy.NewCipher(fixtureKey),
		zone: legacy.Offset(8), truth: make(map[string]legacyUsage), costs: make(map[string]float64),
		hours: make(map[string]int64),
	}
}

func (s *service) key(plaintext string, change map[string]string) (id string) {
	id = uuid.NewString()
	k := legacy.Key{
		ID: id, Name: "key of " + plaintext, LegacyHash: legacy.KeyHash(plaintext, fixtureKey), IsActive: true,
		CreatedAt: time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC), ExpirationMode: legacy.Fixed, ActivationUnit: legacy.Days, WeeklyResetDay: 1,
	}
	fields := k.Fields()
	for name, text := range change {
		fields[name] = text
	}
	s.hashes["apikey:"+id] = fields
	s.set("apikey:hash_map", fields["apiKey"], id)
	return id
}

func (s *service) account(t testing.TB) (id string) {
	t.Helper()
	id = uuid.NewString()
	token, err := s.cipher.Seal(legacy.Claude, "token of "+id)
	require.NoError(t, err)
	s.hashes["claude:account:"+id] = map[string]string{
		"id": id, "name": "account", "accessToken": token, "isActive": "true", "schedulable": "true", "status": "active",
		"createdAt": "2026-01-01T00:00:00.000Z", "priority": "50", "accountType": "shared",
	}
	return id
}

func (s *service) set(key, field, text string) {
	if s.hashes[key] == nil {
		s.hashes[key] = make(map[string]string)
	}
	s.hashes[key][field] = text
}

func (s *service) add(key string, prefix bool, fields map[string]int64) {
	for field, n := range fields {
		if prefix {
			field = "total" + string(field[0]-'a'+'A') + field[1:]
		}
		before, _ := strconv.ParseInt(s.hashes[key][field], 10, 64)
		s.set(key, field, strconv.FormatInt(before+n, 10))
	}
}

func (s *service) charge(key string, cost float64) {
	before, _ := strconv.ParseFloat(s.texts[key], 64)
	s.texts[key] = strconv.FormatFloat(before+cost, 'g', 17, 64)
}

// record counts one request everywhere.
func (s *service) record(key, account, model string, at time.Time, u legacyUsage, cost float64) {
	all := u.InputTokens + u.OutputTokens + u.CacheCreateTokens + u.CacheReadTokens
	fields := map[string]int64{
		"inputTokens": u.InputTokens, "outputTokens": u.OutputTokens, "cacheCreateTokens": u.CacheCreateTokens,
		"cacheReadTokens": u.CacheReadTokens, "allTokens": all, "requests": 1,
	}
	micros := map[string]int64{"ratedCostMicro": int64(cost*1e6 + 0.5)}
	s.add(legacy.Name{Kind: legacy.KeyUsage, ID: key, Resolution: legacy.Total}.Key(), true, fields)
	s.charge(legacy.Name{Kind: legacy.KeyCost, ID: key, Resolution: legacy.Total}.Key(), cost)
	for _, res := range []legacy.Resolution{legacy.Hour, legacy.Day, legacy.Month} {
		bucket := legacy.Bucket(res, at, s.zone)
		s.add(legacy.Name{Kind: legacy.KeyUsage, ID: key, Resolution: res, Bucket: bucket}.Key(), false, fields)
		perModel := legacy.Name{Kind: legacy.KeyModelUsage, ID: key, Model: model, Resolution: res, Bucket: bucket}.Key()
		s.add(perModel, false, fields)
		s.add(perModel, false, micros)
		if res == legacy.Hour {
			s.hours[perModel]++
		}
		s.charge(legacy.Name{Kind: legacy.KeyCost, ID: key, Resolution: res, Bucket: bucket}.Key(), cost)
		if account != "" {
			s.add(legacy.Name{Kind: legacy.AccountUsage, ID: account, Resolution: res, Bucket: bucket}.Key(), false, fields)
			s.add(legacy.Name{Kind: legacy.AccountModelUsage, ID: account, Model: model, Resolution: res, Bucket: bucket}.Key(), false, fields)
		}
	}
	ids := []string{key}
	if account != "" {
		s.add(legacy.Name{Kind: legacy.AccountUsage, ID: account, Resolution: legacy.Total}.Key(), true, fields)
		ids = append(ids, account)
	}
	s.costs[key] += cost
	for _, id := range ids {
		sum := s.truth[id]
		s.truth[id] = legacyUsage{
			sum.InputTokens + u.InputTokens, sum.OutputTokens + u.OutputTokens, sum.CacheCreateTokens + u.CacheCreateTokens,
			sum.CacheReadTokens + u.CacheReadTokens, sum.AllTokens + all, sum.Requests + 1,
		}
	}
}

// traffic records n requests of the last days before an end.
func (s *service) traffic(r *rand.Rand, keys, accounts []string, n int, until time.Time, days int) {
	models := []string{"claude-sonnet-4-20250514", "gemini-2.0-flash-exp:free", "gpt-4o", "a:b:c"}
	for range n {
		account := ""
		if len(accounts) > 0 && r.IntN(3) > 0 {
			account = accounts[r.IntN(len(accounts))]
		}
		u := legacyUsage{InputTokens: r.Int64N(5000), OutputTokens: r.Int64N(500) + 1, CacheCreateTokens: r.Int64N(2) * r.Int64N(900), CacheReadTokens: r.Int64N(2) * r.Int64N(9000)}
		at := until.Add(-time.Duration(r.Int64N(int64(days) * int64(24*time.Hour))))
		s.record(keys[r.IntN(len(keys))], account, models[r.IntN(len(models))], at, u, float64(u.InputTokens)*3e-6+float64(u.OutputTokens)*15e-6)
	}
}

// expire takes away what the service's Redis would have dropped by then.
func (s *service) expire(now time.Time) {
	drop := func(key string) bool {
		n := legacy.ParseName(key)
		start, err := legacy.Start(n.Resolution, n.Bucket, s.zone)
		if err != nil {
			return false
		}
		age := now.Sub(start)
		switch n.Resolution {
		case legacy.Hour:
			return age > 7*24*time.Hour
		case legacy.Day:
			return age > 32*24*time.Hour || n.Kind == legacy.KeyCost && age > 30*24*time.Hour
		case legacy.Month:
			return age > 365*24*time.Hour || n.Kind == legacy.KeyCost && age > 90*24*time.Hour
		}
		return false
	}
	for key := range s.hashes {
		if drop(key) {
			delete(s.hashes, key)
		}
	}
	for key := range s.texts {
		if drop(key) {
			delete(s.texts, key)
		}
	}
}

// into replaces what a deployment's Redis holds.
func (s *service) into(t *testing.T, d *deployment) {
	t.Helper()
	d.do(t, "FLUSHALL")
	for key, fields := range s.hashes {
		command := []string{"HSET", key}
		for field, text := range fields {
			command = append(command, field, text)
		}
		d.do(t, command...)
	}
	for key, text := range s.texts {
		d.do(t, "SET", key, text)
	}
}

// damage makes n things wrong, of all kinds that have been seen, and some that have not.
func (s *service) damage(r *rand.Rand, d *deployment, t *testing.T, keys []string, n int) {
	t.Helper()
	garbage := []string{"[object Object]", "", "undefined", "null", "NaN", "-5", "1e999999999", "\xff\xfe", "1e3", "12.0", "{", "a\x00b"}
	id := func() string { return keys[r.IntN(len(keys))] }
	word := func() string { return garbage[r.IntN(len(garbage))] }
	counter := func() string {
		return legacy.Name{Kind: legacy.KeyModelUsage, ID: id(), Model: "gpt-4o", Resolution: legacy.Day, Bucket: fmt.Sprintf("2026-11-%02d", 1+r.IntN(28))}.Key()
	}
	for range n {
		switch r.IntN(14) {
		case 0: // a field of a key
			fields := []string{"name", "tags", "permissions", "dailyCostLimit", "expiresAt", "isActive", "createdAt", "restrictedModels", "serviceRates", "weeklyResetDay", "expirationMode", "claudeAccountId", "icon", "extra field", "tokenLimit"}
			d.do(t, "HSET", "apikey:"+id(), fields[r.IntN(len(fields))], word())
		case 1:
			d.do(t, "HSET", "apikey:"+uuid.NewString(), "name", "half a record")
		case 2:
			d.do(t, "HSET", "apikey:not-a-uuid", "name", "x", "apiKey", legacy.KeyHash("p", "q"))
		case 3:
			d.do(t, "SET", "apikey:"+uuid.NewString(), "of another type")
		case 4:
			d.do(t, "HSET", counter(), []string{"inputTokens", "requests", "allTokens", "ratedCostMicro"}[r.IntN(4)], word())
		case 5:
			d.do(t, "SET", legacy.Name{Kind: legacy.KeyCost, ID: id(), Resolution: legacy.Day, Bucket: "2026-11-11"}.Key(), word())
		case 6:
			d.do(t, "HSET", "usage:"+uuid.NewString()+":model:daily:gpt-4o:2026-11-11", "requests", "3")
		case 7:
			d.do(t, "HSET", "usage:daily:"+id()+":2026-02-31", "requests", "3")
			d.do(t, "HSET", "usage:hourly:"+id()+":2099-01-01:00", "requests", "3")
		case 8:
			d.do(t, "LPUSH", "celery", "a task")
			d.do(t, "SET", "\xff\x00binary", "x")
		case 9:
			d.do(t, "SADD", "claude:account:"+uuid.NewString(), "a set")
			d.do(t, "HSET", "claude:account:"+uuid.NewString(), "accessToken", word(), "proxy", word(), "priority", word(), "status", word())
		case 10:
			d.do(t, "SET", "bedrock_account:"+uuid.NewString(), word())
		case 11:
			d.do(t, "HSET", "apikey:hash_map", legacy.KeyHash(strconv.Itoa(r.IntN(9)), "x"), uuid.NewString())
		case 12: // by old versions
			d.do(t, "HSET", legacy.Name{Kind: legacy.KeyUsage, ID: id(), Resolution: legacy.Day, Bucket: "2026-11-10"}.Key(), "tokens", "900", "requests", "2")
			d.do(t, "HSET", "usage:"+id()+":model:daily:"+string(make([]byte, 300))+":2026-11-11", "requests", "1")
		case 13:
			d.do(t, "SET", "user:"+word(), word())
			d.do(t, "HSET", "quota_card:"+uuid.NewString(), "code", word())
		}
	}
}
