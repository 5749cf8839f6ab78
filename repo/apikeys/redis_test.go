package apikeys_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/testclient"
	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/batch"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

// Updates of different fields by two processes, and a legacy writer's own fields, all
// last; of one field, one of the values.
func TestRedisConcurrentUpdates(t *testing.T) {
	s := onRedis(t)
	s.indexed()
	two := testclient.OnRedis(t, s.cfg, strategy.APIKey)
	id := s.create(apikeys.KeyData{Name: "k"}).ID
	patches := []apikeys.Patch{
		{TokenLimit: result.Set[int64](1)}, {ConcurrencyLimit: result.Set[int64](2)}, {Description: result.Set("three")},
		{Tags: result.Set([]string{"four"})}, {Name: result.Set("five")}, {DailyCostLimit: result.Set(result.MustMoney("6"))},
		{UserID: result.Set("a")}, {UserID: result.Set("b")}, {UserID: result.Set("c")},
	}
	var all sync.WaitGroup
	errs := make([]error, len(patches))
	for i, p := range patches {
		all.Go(func() {
			keys := []*apikeys.Repo{s.keys, two.APIKeys}[i%2]
			errs[i] = keys.UpdateAPIKey(t.Context(), id, p).Err()
		})
	}
	all.Go(func() {
		for i := range 50 {
			s.do("HSET", "apikey:"+id, "future", fmt.Sprint(i), "icon", "i")
		}
	})
	all.Wait()
	require.NoError(t, errors.Join(errs...))
	k := s.get(id)
	require.Equal(t, "1 2 three [four] five 6 i", fmt.Sprintf("%d %d %s %v %s %s %s", k.TokenLimit, k.ConcurrencyLimit, k.Description, k.Tags, k.Name, k.DailyCostLimit, k.Icon))
	require.Contains(t, []string{"a", "b", "c"}, k.UserID)
	require.JSONEq(t, `{"future":"49"}`, string(k.Extra))
	require.Equal(t, map[string]int64{"five\x00" + id: 0}, s.scores("apikey:idx:name"))
	require.Equal(t, []string{id}, s.members("apikey:tag:four"))
}

// An update touches the fields that it changes, and no other form of what the service
// has written.
func TestRedisUpdateLeavesTheRest(t *testing.T) {
	s := onRedis(t)
	id := s.create(apikeys.KeyData{}).ID
	key := "apikey:" + id
	s.do("HSET", key, "tokenLimit", "1e6", "permissions", "all", "tags", ` [ "a" ] `, "serviceRates", `{"claude":1.50}`, "weeklyResetDay", "0",
		"future", "x", "rateLimitCost", "undefined", "allowedClients", "[object Object]", "activationDays", "null", "userId", "undefined", "name", "a\xff")
	s.do("HDEL", key, "icon", "expirationMode")
	want := s.hash(key)
	s.update(id, apikeys.Patch{Description: result.Set("new")})
	got := s.hash(key)
	require.Equal(t, "new", got["description"])
	for _, changed := range []string{"description", "updatedAt"} {
		delete(want, changed)
		delete(got, changed)
	}
	require.Equal(t, want, got)
	k := s.get(id)
	require.Equal(t, int64(1_000_000), k.TokenLimit)
	require.Equal(t, []string{"a"}, k.Tags)
	requireField(t, s.keys.UpdateAPIKey(t.Context(), id, apikeys.Patch{WeeklyResetHour: result.Set(24)}).Err(), result.InvalidQuery, "weeklyResetHour")
	require.Equal(t, s.hash(key)["description"], "new")
}

// An extra document of as many members as there is room for is as many fields.
func TestRedisLargeExtra(t *testing.T) {
	s := onRedis(t)
	var doc strings.Builder
	for i := range 6000 {
		fmt.Fprintf(&doc, `,"%d":""`, i)
	}
	extra := json.RawMessage("{" + doc.String()[1:] + "}")
	id := s.create(apikeys.KeyData{Extra: extra}).ID
	require.JSONEq(t, string(extra), string(s.get(id).Extra))
	require.Empty(t, s.update(id, apikeys.Patch{Extra: result.Null[json.RawMessage]()}).Extra)
	require.Empty(t, s.get(id).Extra)
}

// What the service does to a key ends what it should: its own look-ups know nothing of
// the native hash.
func TestRedisServiceRevokes(t *testing.T) {
	for name, revoke := range map[string]func(s *shared, id, hash string){
		"deletes": func(s *shared, id, hash string) {
			s.do("HSET", "apikey:"+id, "isDeleted", "true", "isActive", "true") // its race: isDeleted wins
			s.do("HDEL", "apikey:hash_map", hash)
		},
		"gives a new plaintext": func(s *shared, id, hash string) {
			next := apikeys.LegacyHash("cr_next", encryptionKey)
			s.do("HSET", "apikey:"+id, "apiKey", next)
			s.do("HDEL", "apikey:hash_map", hash)
			s.do("HSET", "apikey:hash_map", next, id)
		},
		"removes": func(s *shared, id, _ string) { s.do("DEL", "apikey:"+id) },
	} {
		t.Run(name, func(t *testing.T) {
			s := onRedis(t)
			k := s.create(apikeys.KeyData{})
			require.True(t, s.active(k.HashedKey))
			revoke(s, k.ID, apikeys.LegacyHash(k.APIKey, encryptionKey))
			require.ErrorIs(t, s.keys.ValidateAPIKey(t.Context(), k.HashedKey).Err(), result.RecordNotFound)
			require.ErrorIs(t, s.keys.ValidatePlaintext(t.Context(), k.APIKey).Err(), result.RecordNotFound)
			if name == "gives a new plaintext" {
				require.NoError(t, s.keys.ValidatePlaintext(t.Context(), "cr_next").Err())
				require.True(t, s.active(apikeys.HashPlaintext("cr_next")), "its native hash is added")
			}
		})
	}
}

// A key that only the old look-up knows is found, and gone at once when it is deleted.
func TestRedisOldLookup(t *testing.T) {
	s := onRedis(t)
	k := s.create(apikeys.KeyData{})
	hash := apikeys.LegacyHash(k.APIKey, encryptionKey)
	s.do("DEL", "apikey:hash_map")
	s.do("HSET", "apikey_hash:"+hash, "id", k.ID, "name", "n", "isActive", "true")
	require.True(t, s.active(hash))
	require.NoError(t, s.keys.DeleteAPIKey(t.Context(), k.ID).Err())
	require.ErrorIs(t, s.keys.ValidateAPIKey(t.Context(), hash).Err(), result.RecordNotFound)
	require.Empty(t, s.hash("apikey_hash:"+hash))
}

func TestRedisDuplicates(t *testing.T) {
	s := onRedis(t)
	k := s.create(apikeys.KeyData{})
	before := s.dump()
	requireField(t, s.keys.CreateAPIKey(t.Context(), apikeys.KeyData{Name: "n", ID: k.ID}).Err(), result.DuplicateKey, "id")
	for scheme, hash := range map[string]string{apikeys.HashSHA256: k.HashedKey, apikeys.HashLegacy: apikeys.LegacyHash(k.APIKey, encryptionKey)} {
		requireField(t, s.keys.CreateAPIKey(t.Context(), apikeys.KeyData{Name: "n", HashedKey: hash, HashScheme: scheme}).Err(), result.DuplicateKey, "hashedKey")
	}
	require.Equal(t, before, s.dump())

	hash := apikeys.HashPlaintext("dangling")
	s.do("HSET", "apikey:hash_map", hash, uuid.NewString())
	id := s.create(apikeys.KeyData{HashedKey: hash}).ID
	require.True(t, s.active(hash))
	require.Equal(t, apikeys.HashSHA256, s.get(id).HashScheme)
	require.NoError(t, s.keys.DeleteAPIKey(t.Context(), id).Err())
	s.create(apikeys.KeyData{HashedKey: hash})
	requireField(t, s.keys.CreateAPIKey(t.Context(), apikeys.KeyData{Name: "n", ID: id}).Err(), result.DuplicateKey, "id")
}

// dump gives all that the Redis holds, but for TTLs.
func (s *shared) dump() map[string]string {
	s.Helper()
	keys, err := s.do("KEYS", "*").AsStrSlice()
	require.NoError(s, err)
	all := make(map[string]string)
	for _, key := range keys {
		text, err := s.do("DUMP", key).ToString()
		require.NoError(s, err)
		all[key] = text
	}
	return all
}

// A process that slept through a switch writes nothing under the old epoch.
func TestRedisFence(t *testing.T) {
	s := onRedis(t)
	s.indexed()
	k := s.create(apikeys.KeyData{})
	waiting := s.create(apikeys.KeyData{ExpirationMode: "activation"})
	epoch, err := s.do("GETSET", "relaystore:epoch:apikey", "999").ToString()
	require.NoError(t, err)
	before := s.dump()
	for name, err := range map[string]error{
		"create":   s.keys.CreateAPIKey(t.Context(), apikeys.KeyData{Name: "n"}).Err(),
		"update":   s.keys.UpdateAPIKey(t.Context(), k.ID, apikeys.Patch{Name: result.Set("n")}).Err(),
		"delete":   s.keys.DeleteAPIKey(t.Context(), k.ID).Err(),
		"activate": s.keys.ValidateAPIKey(t.Context(), waiting.HashedKey).Err(),
		"use":      s.keys.StoreLastUsed(t.Context(), map[uuid.UUID]time.Time{uuid.MustParse(k.ID): time.Now()}),
	} {
		require.ErrorIs(t, err, result.ReadOnly, name)
	}
	require.Equal(t, before, s.dump())
	require.True(t, s.active(k.HashedKey), "reads go on")
	s.do("SET", "relaystore:epoch:apikey", epoch) // for Close, which stores that use
}

func TestRedisActivation(t *testing.T) {
	s := onRedis(t)
	two := testclient.OnRedis(t, s.cfg, strategy.APIKey)
	k := s.create(apikeys.KeyData{ExpirationMode: "activation", ActivationUnit: "hours"})
	fields := decodeLegacy(t, s.hash("apikey:"+k.ID))
	require.False(t, fields.Flags["isActivated"])
	require.Empty(t, fields.Times["activatedAt"])
	ends := make([]time.Time, 8)
	var all sync.WaitGroup
	for i := range ends {
		all.Go(func() {
			v, _ := []*apikeys.Repo{s.keys, two.APIKeys}[i%2].ValidateAPIKey(t.Context(), k.HashedKey).Get()
			ends[i] = v.ExpiresAt
		})
	}
	all.Wait()
	fields = decodeLegacy(t, s.hash("apikey:"+k.ID))
	require.True(t, fields.Flags["isActivated"])
	require.Equal(t, fields.Times["activatedAt"].Add(30*time.Hour), fields.Times["expiresAt"])
	for _, end := range ends {
		require.Equal(t, fields.Times["expiresAt"], end)
	}
	once := s.get(k.ID).ActivatedAt
	s.update(k.ID, apikeys.Patch{ExpirationMode: result.Set("fixed"), ExpiresAt: result.Null[time.Time]()})
	s.update(k.ID, apikeys.Patch{ExpirationMode: result.Set("activation")})
	require.True(t, s.active(k.HashedKey))
	require.Equal(t, once, s.get(k.ID).ActivatedAt, "a life begins once")

	other := s.create(apikeys.KeyData{})
	require.Zero(t, s.get(other.ID).ActivatedAt)
	s.update(other.ID, apikeys.Patch{ExpirationMode: result.Set("activation")})
	require.True(t, s.active(other.HashedKey))
	require.False(t, s.get(other.ID).ActivatedAt.IsZero())
}

// A use touches when a key was last used, and its life, and nothing else.
func TestRedisLastUsed(t *testing.T) {
	s := onRedis(t)
	s.indexed()
	k := s.create(apikeys.KeyData{})
	key, id := "apikey:"+k.ID, uuid.MustParse(k.ID)
	s.do("EXPIRE", key, "1000")
	want := s.hash(key)
	at := time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)
	unknown := uuid.New()
	for _, used := range []time.Time{at, at.Add(-time.Hour), at.Add(30 * time.Second)} { // not backwards, not twice a minute
		require.NoError(t, s.keys.StoreLastUsed(t.Context(), map[uuid.UUID]time.Time{id: used, unknown: used}))
	}
	want["lastUsedAt"] = "2026-01-02T03:04:05.678Z"
	require.Equal(t, want, s.hash(key))
	require.Equal(t, map[string]int64{k.ID: at.UnixMilli()}, s.scores("apikey:idx:lastUsedAt"))
	ttl, err := s.do("TTL", key).AsInt64()
	require.NoError(t, err)
	require.Greater(t, ttl, int64(1000))
	require.Equal(t, at, s.get(k.ID).LastUsedAt)

	s.active(k.HashedKey) // noted, and stored at the end at the latest
	require.NoError(t, s.keys.Close(t.Context()))
	require.WithinDuration(t, time.Now(), s.get(k.ID).LastUsedAt, time.Minute)
}

// With the service's indexes or without, lists say the same, whatever else is there.
func TestRedisLists(t *testing.T) {
	s := onRedis(t)
	s.indexed()
	past := time.Now().Add(-time.Hour)
	for i, name := range []string{"b", "A", "c", "a", "é", "gone"} {
		k := s.create(apikeys.KeyData{Name: name, Tags: []string{"t", fmt.Sprint("t", i%2)}, Permissions: []string{"", "claude", "gemini,claude"}[i%3]})
		switch i {
		case 1:
			s.do("HSET", "apikey:"+k.ID, "expiresAt", past.UTC().Format("2006-01-02T15:04:05.000Z"))
		case 2:
			s.update(k.ID, apikeys.Patch{IsActive: result.Set(false)})
		case 3:
			s.do("ZADD", "apikey:idx:lastUsedAt", "5", k.ID)
			s.do("HSET", "apikey:"+k.ID, "lastUsedAt", "2026-01-01T00:00:00.000Z")
		case 5:
			require.NoError(t, s.keys.DeleteAPIKey(t.Context(), k.ID).Err())
		}
	}
	s.do("SADD", "apikey:idx:all", uuid.NewString(), "x")
	s.do("SET", "apikey:"+uuid.NewString(), "no hash")
	s.do("HSET", "apikey:x", "name", "no UUID")
	yes, no := true, false
	names := func(f apikeys.Filters) (names []string) {
		page, err := s.keys.GetAllAPIKeys(t.Context(), f).Get()
		require.NoError(t, err)
		for _, k := range page.Keys {
			names = append(names, k.Name)
		}
		return names
	}
	for range 2 {
		require.Equal(t, []string{"é", "a", "c", "A", "b"}, names(apikeys.Filters{}))
		require.Equal(t, []string{"A", "a", "b", "c", "é"}, names(apikeys.Filters{SortBy: "name", SortOrder: "ASC"}))
		require.Equal(t, "a", names(apikeys.Filters{SortBy: "lastUsedAt"})[0])
		require.Equal(t, "A", names(apikeys.Filters{SortBy: "expiresAt", SortOrder: "ASC"})[0])
		require.Equal(t, []string{"c", "A"}, names(apikeys.Filters{IsActive: &no}))
		require.Equal(t, []string{"é", "a", "b"}, names(apikeys.Filters{IsActive: &yes}))
		require.Equal(t, []string{"é", "c", "b"}, names(apikeys.Filters{Tags: []string{"t", "t0"}}))
		require.Equal(t, []string{"a", "c", "b"}, names(apikeys.Filters{Permissions: "gemini"}))
		require.Equal(t, []string{"a", "b"}, names(apikeys.Filters{Permissions: "all"}))
		page, err := s.keys.GetAllAPIKeys(t.Context(), apikeys.Filters{Limit: 2, Offset: 4}).Get()
		require.NoError(t, err)
		require.Equal(t, []int{1, 5, 3, 3}, []int{len(page.Keys), page.Total, page.Page, page.TotalPages})
		s.do("DEL", "apikey:index:version")
	}
}

// A transaction has no part in Redis, and says so; nothing is written.
func TestRedisInTransactions(t *testing.T) {
	s := onRedis(t)
	k := s.create(apikeys.KeyData{})
	before := s.dump()
	var inside *repo.Client
	require.NoError(t, s.Transactions.InTransaction(t.Context(), repo.TxOptions{}, func(c *repo.Client) error {
		inside = c
		for name, err := range s.calls(c, k) {
			require.ErrorIs(t, err, result.InvalidQuery, name)
		}
		return nil
	}))
	for name, err := range s.calls(inside, k) {
		require.ErrorIs(t, err, result.TransactionClosed, name)
	}
	did := s.Transactions.BatchOperation(t.Context(), []batch.Operation{{Type: batch.Create, Table: "api_keys", Data: map[string]any{"name": "n"}}}, repo.TxOptions{})
	requireField(t, did.Err(), result.InvalidQuery, "table")
	require.Equal(t, before, s.dump())
}

func (s *shared) calls(c *repo.Client, k apikeys.Created) map[string]error {
	ctx := s.ctx()
	return map[string]error{
		"create":   c.APIKeys.CreateAPIKey(ctx, apikeys.KeyData{Name: "n"}).Err(),
		"get":      c.APIKeys.GetAPIKey(ctx, k.ID).Err(),
		"update":   c.APIKeys.UpdateAPIKey(ctx, k.ID, apikeys.Patch{}).Err(),
		"delete":   c.APIKeys.DeleteAPIKey(ctx, k.ID).Err(),
		"list":     c.APIKeys.GetAllAPIKeys(ctx, apikeys.Filters{}).Err(),
		"validate": c.APIKeys.ValidateAPIKey(ctx, k.HashedKey).Err(),
	}
}

// No cache answers for keys that are in Redis, and none for what they were before.
func TestRedisAfterACache(t *testing.T) {
	s := onRedis(t)
	on := func(c strategy.Config) {
		require.NoError(t, s.Storage.SwitchStorageStrategy(t.Context(), strategy.APIKey, c).Err())
	}
	inRedis := strategy.Config{PrimaryStorage: strategy.PrimaryRedis, ReadStrategy: strategy.DatabaseFirst, WriteStrategy: strategy.WriteThrough}
	on(strategy.Default(strategy.APIKey, false))
	k := s.create(apikeys.KeyData{})
	for range 3 {
		require.True(t, s.active(k.HashedKey))
	}
	on(inRedis)
	require.ErrorIs(t, s.keys.ValidateAPIKey(t.Context(), k.HashedKey).Err(), result.RecordNotFound)
	r := s.create(apikeys.KeyData{ID: k.ID, HashedKey: k.HashedKey})
	s.do("HSET", "apikey:"+r.ID, "isActive", "false")
	require.False(t, s.active(k.HashedKey), "another's write is seen at once")
	on(strategy.Default(strategy.APIKey, false))
	require.True(t, s.active(k.HashedKey), "the record of PostgreSQL")
	on(inRedis)
	require.False(t, s.active(k.HashedKey))
}

// A Redis that is gone is a typed error within the deadline, and says of a write that
// its outcome is unknown.
func TestRedisIsGone(t *testing.T) {
	t.Parallel()
	server := testdb.RedisServer(t)
	cfg := testclient.Config(t)
	cfg.PrimaryRedisURL, cfg.OpTimeout = server.URL(), time.Second
	c := testclient.OnRedis(t, cfg, strategy.APIKey)
	k, err := c.APIKeys.CreateAPIKey(t.Context(), apikeys.KeyData{Name: "n"}).Get()
	require.NoError(t, err)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, c.APIKeys.GetAPIKey(gone, k.ID).Err(), result.Cancelled)
	server.Kill()
	s := &shared{bundle: &bundle{T: t}}
	for name, err := range s.calls(c, k) {
		code := result.From(err).Code
		require.Contains(t, []result.Code{result.ConnectionFailed, result.QueryTimeout}, code, "%s %v", name, err)
		require.Equal(t, name == "create", result.From(err).Details["outcomeUnknown"] == true, name)
	}
}
