package repotest

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/result"
)

var keyTests = []test{
	{"CRUD", keyCRUD}, {"lists", keyLists}, {"expiry", keyExpiry}, {"activation", keyActivation},
	{"concurrency", keyConcurrency}, {"errors", keyErrors}, {"freshness", keyFreshness}, {"equals a model", keyModel},
}

// fullKey has a value in every field that a record keeps.
func fullKey() apikeys.KeyData {
	adaptation := false
	return apikeys.KeyData{
		ID: uuid.NewString(), Name: "Ключ 🔑 \"quoted\"", Description: "line\nbreak", Permissions: "claude,openai",
		TokenLimit: 1 << 50, ConcurrencyLimit: 3, DailyCostLimit: result.MustMoney("12.5"),
		ExpiresAt: time.Date(2099, 1, 2, 3, 4, 5, 678000000, time.UTC), Tags: []string{"a,b", "ü"},
		RateLimitWindow: 5, RateLimitRequests: 7, RateLimitCost: result.MustMoney("0.25"), TotalCostLimit: result.MustMoney("1000"),
		WeeklyOpusCostLimit: result.MustMoney("0.000001"), WeeklyResetDay: 7, WeeklyResetHour: 23,
		ExpirationMode: "fixed", ActivationDays: 14, ActivationUnit: "hours",
		ClaudeAccountID: "group:g1", GeminiAccountID: "api:x", OpenAIAccountID: "responses:y", DroidAccountID: uuid.NewString(),
		EnableModelRestriction: true, RestrictedModels: []string{"m:free"}, EnableClientRestriction: true, AllowedClients: []string{"cli"},
		ServiceRates:                         map[string]result.Money{"claude": result.MustMoney("1.5")},
		EnableOpenAIResponsesCodexAdaptation: &adaptation, EnableOpenAIResponsesPayloadRules: true,
		OpenAIResponsesPayloadRules: json.RawMessage(`[{"a":1}]`),
		CreatedBy:                   "admin", UserID: "u1", UserUsername: "name", Icon: "aWNvbg==", Extra: json.RawMessage(`{"more":[true,null]}`),
	}
}

func (b *bundle) key(data apikeys.KeyData) apikeys.Created {
	b.Helper()
	if data.Name == "" {
		data.Name = "key"
	}
	return get(b, b.one.APIKeys.CreateAPIKey(b.ctx(), data))
}

// sameJSON compares what a caller of the contract sees.
func (b *bundle) sameJSON(want, got any) {
	b.Helper()
	w, err := json.Marshal(want)
	require.NoError(b, err)
	g, err := json.Marshal(got)
	require.NoError(b, err)
	require.JSONEq(b, string(w), string(g))
}

func keyCRUD(b *bundle) {
	want := fullKey()
	keys, begun := b.one.APIKeys, time.Now().Add(-time.Minute)
	created := b.key(want)
	require.Equal(b, want.ID, created.ID)
	require.Equal(b, apikeys.HashPlaintext(created.APIKey), created.HashedKey)
	require.WithinRange(b, created.CreatedAt, begun, time.Now().Add(time.Minute))

	stored := get(b, keys.GetAPIKey(b.ctx(), want.ID))
	require.True(b, stored.IsActive)
	got := stored.KeyData
	got.HashedKey, got.HashScheme = "", ""
	b.sameJSON(want, got)
	byHash := get(b, keys.ValidateAPIKey(b.ctx(), created.HashedKey))
	require.Equal(b, byHash, get(b, keys.ValidatePlaintext(b.ctx(), created.APIKey)))
	require.Equal(b, apikeys.RateLimits{Concurrency: 3, Daily: want.DailyCostLimit, Requests: 7}, byHash.RateLimits)
	require.Equal(b, want.ID+want.Permissions, byHash.ID+byHash.Permissions)
	require.True(b, byHash.IsActive && byHash.ExpiresAt.Equal(want.ExpiresAt))

	updated := get(b, keys.UpdateAPIKey(b.ctx(), want.ID, apikeys.Patch{
		Name: result.Set("other"), Tags: result.Null[[]string](), DailyCostLimit: result.Set(result.MustMoney("3")), ExpiresAt: result.Null[time.Time](),
	}))
	want.Name, want.Tags, want.DailyCostLimit, want.ExpiresAt = "other", nil, result.MustMoney("3"), time.Time{}
	got = updated.KeyData
	got.HashedKey, got.HashScheme = "", ""
	b.sameJSON(want, got)
	require.Zero(b, get(b, keys.ValidateAPIKey(b.ctx(), created.HashedKey)).ExpiresAt, "read your writes")

	get(b, keys.UpdateAPIKey(b.ctx(), want.ID, apikeys.Patch{IsActive: result.Set(false)}))
	require.False(b, get(b, keys.ValidateAPIKey(b.ctx(), created.HashedKey)).IsActive)
	require.NoError(b, keys.DeleteAPIKey(b.ctx(), want.ID).Err())
	require.ErrorIs(b, keys.ValidateAPIKey(b.ctx(), created.HashedKey).Err(), result.RecordNotFound)
	require.ErrorIs(b, keys.GetAPIKey(b.ctx(), want.ID).Err(), result.RecordNotFound)
	require.ErrorIs(b, keys.DeleteAPIKey(b.ctx(), want.ID).Err(), result.RecordNotFound)
	require.ErrorIs(b, keys.UpdateAPIKey(b.ctx(), want.ID, apikeys.Patch{}).Err(), result.RecordNotFound)

	require.NoError(b, b.one.APIKeys.RecordAPIKeyUsage(b.ctx(), b.key(apikeys.KeyData{}).ID, apikeys.UsageData{Model: "m", RequestCount: 1}).Err())
}

// keyLists compares lists with a list: filters, orders and pages.
func keyLists(b *bundle) {
	tag := uuid.NewString()
	var ids []string
	names := []string{"b", "a", "c", "a", "é"}
	for i, name := range names {
		data := apikeys.KeyData{Name: name, Tags: []string{tag, fmt.Sprint("i", i)}, ExpiresAt: time.Date(2050-i, 1, 1, 0, 0, 0, 0, time.UTC)}
		switch i {
		case 1:
			data.Permissions = "claude"
		case 2:
			data.Permissions, data.ExpiresAt = "gemini,claude", time.Time{}
		}
		ids = append(ids, b.key(data).ID)
	}
	get(b, b.one.APIKeys.UpdateAPIKey(b.ctx(), ids[4], apikeys.Patch{IsActive: result.Set(false)}))
	list := func(f apikeys.Filters) (out []int) {
		f.Tags = append(f.Tags, tag)
		for _, c := range b.clients() {
			out = nil
			page := get(b, c.APIKeys.GetAllAPIKeys(b.ctx(), f))
			for _, k := range page.Keys {
				out = append(out, slices.Index(ids, k.ID))
			}
		}
		return out
	}
	sameNames := []int{1, 3} // by id
	if ids[1] > ids[3] {
		sameNames = []int{3, 1}
	}
	yes, no := true, false
	require.Equal(b, []int{4, 3, 2, 1, 0}, list(apikeys.Filters{}))
	require.Equal(b, []int{0, 1, 2, 3, 4}, list(apikeys.Filters{SortBy: "createdAt", SortOrder: "ASC"}))
	require.Equal(b, append(sameNames, 0, 2, 4), list(apikeys.Filters{SortBy: "name", SortOrder: "ASC"}))
	require.Equal(b, []int{4, 3, 1, 0, 2}, list(apikeys.Filters{SortBy: "expiresAt", SortOrder: "ASC"}), "never is last")
	require.ElementsMatch(b, []int{0, 1, 2, 3, 4}, list(apikeys.Filters{SortBy: "lastUsedAt"}))
	require.Equal(b, []int{4}, list(apikeys.Filters{IsActive: &no}))
	require.Equal(b, []int{3, 2, 1, 0}, list(apikeys.Filters{IsActive: &yes}))
	require.Equal(b, []int{4, 3, 2, 0}, list(apikeys.Filters{Permissions: "gemini"}))
	require.Equal(b, []int{4, 3, 0}, list(apikeys.Filters{Permissions: "all"}))
	require.Equal(b, []int{2}, list(apikeys.Filters{Tags: []string{"i2"}}))
	require.Equal(b, []int{2, 1}, list(apikeys.Filters{Limit: 2, Offset: 2}))
	require.Empty(b, list(apikeys.Filters{Offset: 5}))

	page := get(b, b.one.APIKeys.GetAllAPIKeys(b.ctx(), apikeys.Filters{Tags: []string{tag}, Limit: 2, Offset: 4}))
	require.Equal(b, []int{1, 5, 3, 3}, []int{len(page.Keys), page.Total, page.Page, page.TotalPages})
	b.sameJSON(get(b, b.one.APIKeys.GetAPIKey(b.ctx(), ids[0])), page.Keys[0])
	require.NoError(b, b.two.APIKeys.DeleteAPIKey(b.ctx(), ids[3]).Err())
	require.Equal(b, []int{4, 2, 1, 0}, list(apikeys.Filters{}))
}

// keyExpiry: expiry is judged by the clock of the call, also of a cached key.
func keyExpiry(b *bundle) {
	tag := uuid.NewString()
	ends := time.Now().Add(1500 * time.Millisecond).Truncate(time.Millisecond)
	k := b.key(apikeys.KeyData{ExpiresAt: ends, Tags: []string{tag}})
	for _, c := range b.clients() {
		b.eventually(func() bool {
			begun := time.Now()
			v := get(b, c.APIKeys.ValidateAPIKey(b.ctx(), k.HashedKey))
			require.True(b, v.ExpiresAt.Equal(ends))
			require.True(b, v.IsActive || !time.Now().Before(ends), "not before its end")
			require.False(b, v.IsActive && begun.After(ends), "not after it")
			return !v.IsActive
		}, "it expires")
	}
	require.True(b, get(b, b.one.APIKeys.GetAPIKey(b.ctx(), k.ID)).IsActive, "the stored switch")
	no := false
	require.Len(b, get(b, b.one.APIKeys.GetAllAPIKeys(b.ctx(), apikeys.Filters{Tags: []string{tag}, IsActive: &no})).Keys, 1)
	get(b, b.one.APIKeys.UpdateAPIKey(b.ctx(), k.ID, apikeys.Patch{ExpiresAt: result.Null[time.Time]()}))
	require.True(b, get(b, b.one.APIKeys.ValidateAPIKey(b.ctx(), k.HashedKey)).IsActive)
}

// keyActivation: concurrent first validations agree on when a key's life began.
func keyActivation(b *bundle) {
	k := b.key(apikeys.KeyData{ExpirationMode: "activation", ActivationDays: 2, ActivationUnit: "hours"})
	require.Zero(b, get(b, b.one.APIKeys.GetAPIKey(b.ctx(), k.ID)).ActivatedAt)
	ends := make([]time.Time, 8)
	require.Zero(b, b.failures(b.together(len(ends), func(c *repo.Client, i int) error {
		v, err := c.APIKeys.ValidateAPIKey(b.ctx(), k.HashedKey).Get()
		ends[i] = v.ExpiresAt
		return err
	}), ""))
	stored := get(b, b.two.APIKeys.GetAPIKey(b.ctx(), k.ID))
	require.WithinDuration(b, time.Now(), stored.ActivatedAt, patience)
	require.True(b, stored.ExpiresAt.Equal(stored.ActivatedAt.Add(2*time.Hour)))
	for _, end := range ends {
		require.True(b, end.Equal(stored.ExpiresAt))
	}
}

func keyConcurrency(b *bundle) {
	id := uuid.NewString()
	lost := b.together(8, func(c *repo.Client, _ int) error {
		return c.APIKeys.CreateAPIKey(b.ctx(), apikeys.KeyData{ID: id, Name: "one of many"}).Err()
	})
	require.Equal(b, 7, b.failures(lost, result.DuplicateKey), "one wins")
	require.Zero(b, b.failures(b.together(4, func(c *repo.Client, i int) error {
		return c.APIKeys.UpdateAPIKey(b.ctx(), id, []apikeys.Patch{
			{TokenLimit: result.Set[int64](1)}, {ConcurrencyLimit: result.Set[int64](2)},
			{Description: result.Set("three")}, {Tags: result.Set([]string{"four"})},
		}[i]).Err()
	}), ""))
	got := get(b, b.one.APIKeys.GetAPIKey(b.ctx(), id))
	require.Equal(b, "1 2 three [four]", fmt.Sprintf("%d %d %s %v", got.TokenLimit, got.ConcurrencyLimit, got.Description, got.Tags), "updates of different fields all last")
	gone := b.together(8, func(c *repo.Client, _ int) error { return c.APIKeys.DeleteAPIKey(b.ctx(), id).Err() })
	require.Equal(b, 7, b.failures(gone, result.RecordNotFound))
}

func keyErrors(b *bundle) {
	keys, ctx := b.one.APIKeys, b.ctx()
	k := b.key(apikeys.KeyData{})
	unknown := uuid.NewString()
	for _, c := range []struct {
		err   error
		code  result.Code
		field string
	}{
		{keys.CreateAPIKey(ctx, apikeys.KeyData{}).Err(), result.InvalidQuery, "name"},
		{keys.CreateAPIKey(ctx, apikeys.KeyData{Name: "k", ID: "x"}).Err(), result.InvalidQuery, "id"},
		{keys.CreateAPIKey(ctx, apikeys.KeyData{Name: "k", Permissions: "all,claude"}).Err(), result.InvalidQuery, "permissions"},
		{keys.CreateAPIKey(ctx, apikeys.KeyData{Name: "k", DailyCostLimit: result.MustMoney("-1")}).Err(), result.InvalidQuery, "dailyCostLimit"},
		{keys.CreateAPIKey(ctx, apikeys.KeyData{Name: "k", ID: k.ID}).Err(), result.DuplicateKey, "id"},
		{keys.CreateAPIKey(ctx, apikeys.KeyData{Name: "k", HashedKey: k.HashedKey}).Err(), result.DuplicateKey, "hashedKey"},
		{keys.GetAPIKey(ctx, "x").Err(), result.InvalidQuery, "keyId"},
		{keys.GetAPIKey(ctx, unknown).Err(), result.RecordNotFound, ""},
		{keys.UpdateAPIKey(ctx, unknown, apikeys.Patch{}).Err(), result.RecordNotFound, ""},
		{keys.UpdateAPIKey(ctx, k.ID, apikeys.Patch{Name: result.Set("")}).Err(), result.InvalidQuery, "name"},
		{keys.DeleteAPIKey(ctx, unknown).Err(), result.RecordNotFound, ""},
		{keys.ValidateAPIKey(ctx, "x").Err(), result.InvalidQuery, "hashedKey"},
		{keys.ValidateAPIKey(ctx, apikeys.HashPlaintext(unknown)).Err(), result.RecordNotFound, ""},
		{keys.GetAllAPIKeys(ctx, apikeys.Filters{Limit: 1001}).Err(), result.InvalidQuery, "limit"},
		{keys.GetAllAPIKeys(ctx, apikeys.Filters{SortBy: "id; DROP"}).Err(), result.InvalidQuery, "sortBy"},
		{keys.RecordAPIKeyUsage(ctx, unknown, apikeys.UsageData{Model: "m"}).Err(), result.RecordNotFound, "keyId"},
	} {
		b.refused(c.err, c.code, c.field)
	}
	require.Equal(b, "key", get(b, keys.GetAPIKey(ctx, k.ID)).Name, "a refusal writes nothing")
	b.cancelled(keys.GetAPIKey(b.gone(), k.ID).Err())
}

// keyFreshness: a key that was known to be unknown is known elsewhere soon after it
// was made, and unknown soon after it was deleted.
func keyFreshness(b *bundle) {
	plaintext := "cr_" + uuid.NewString()
	hash := apikeys.HashPlaintext(plaintext)
	for range 3 {
		require.ErrorIs(b, b.two.APIKeys.ValidateAPIKey(b.ctx(), hash).Err(), result.RecordNotFound)
	}
	k := b.key(apikeys.KeyData{HashedKey: hash})
	require.Empty(b, k.APIKey, "an imported hash has no plaintext")
	require.NoError(b, b.one.APIKeys.ValidatePlaintext(b.ctx(), plaintext).Err())
	b.eventually(func() bool { return b.two.APIKeys.ValidateAPIKey(b.ctx(), hash).Err() == nil }, "the other hears of it")
	require.NoError(b, b.one.APIKeys.DeleteAPIKey(b.ctx(), k.ID).Err())
	b.eventually(func() bool { return b.two.APIKeys.ValidateAPIKey(b.ctx(), hash).Err() != nil }, "the other hears that it is gone")
	require.ErrorIs(b, b.two.APIKeys.ValidateAPIKey(b.ctx(), hash).Err(), result.RecordNotFound)
}
