package apikeys_test

import (
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/testclient"
	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

// shared is a bundle whose keys are in a Redis that a legacy service shares.
type shared struct {
	*bundle

	redis rueidis.Client
	url   string
}

func onRedis(t *testing.T, change ...func(*repo.Config)) *shared {
	t.Helper()
	t.Parallel()
	url := testclient.LegacyRedis(t)
	cfg := testclient.Config(t)
	cfg.PrimaryRedisURL = url
	legacy(&cfg)
	for _, c := range change {
		c(&cfg)
	}
	client := testclient.OnRedis(t, cfg, strategy.APIKey)
	b := &bundle{T: t, cfg: cfg, keys: client.APIKeys, Client: client, pool: testdb.Pool(t, cfg.DatabaseURL)}
	return &shared{b, testdb.RedisAt(t, url), url}
}

// do sends one command as the service might.
func (s *shared) do(words ...string) *rueidis.RedisMessage {
	s.Helper()
	reply, err := s.redis.Do(s.ctx(), s.redis.B().Arbitrary(words...).Build()).ToMessage()
	if !rueidis.IsRedisNil(err) {
		require.NoError(s, err)
	}
	return &reply
}

// indexed makes the service's indexes exist.
func (s *shared) indexed() { s.do("SET", "apikey:index:version", "2") }

func (s *shared) hash(key string) map[string]string {
	s.Helper()
	m, err := s.redis.Do(s.ctx(), s.redis.B().Hgetall().Key(key).Build()).AsStrMap()
	require.NoError(s, err)
	return m
}

func (s *shared) members(key string) []string {
	s.Helper()
	m, err := s.redis.Do(s.ctx(), s.redis.B().Smembers().Key(key).Build()).AsStrSlice()
	require.NoError(s, err)
	slices.Sort(m)
	return m
}

func (s *shared) scores(key string) map[string]int64 {
	s.Helper()
	all, err := s.redis.Do(s.ctx(), s.redis.B().Zrange().Key(key).Min("0").Max("-1").Withscores().Build()).AsZScores()
	require.NoError(s, err)
	scores := make(map[string]int64)
	for _, z := range all {
		scores[z.Member] = int64(z.Score)
	}
	return scores
}

// legacyKey is a key as a reader sees it who knows LEGACY.md alone: 1.1's list.
type legacyKey struct {
	Texts   map[string]string
	Numbers map[string]float64
	Flags   map[string]bool
	Times   map[string]time.Time
	Lists   map[string][]string
	Rates   map[string]float64
}

var (
	legacyTexts = []string{"id", "name", "description", "apiKey", "createdBy", "userId", "userUsername", "icon", "expirationMode", "activationUnit",
		"claudeAccountId", "claudeConsoleAccountId", "geminiAccountId", "openaiAccountId", "azureOpenaiAccountId", "bedrockAccountId", "droidAccountId", "ccrAccountId",
		"deletedBy", "deletedByType", "openaiResponsesPayloadRules"}
	legacyNumbers = []string{"tokenLimit", "concurrencyLimit", "rateLimitWindow", "rateLimitRequests", "rateLimitCost", "dailyCostLimit", "totalCostLimit",
		"weeklyOpusCostLimit", "activationDays", "weeklyResetDay", "weeklyResetHour"}
	legacyFlags = []string{"isActive", "isDeleted", "isActivated", "enableModelRestriction", "enableClientRestriction",
		"enableOpenAIResponsesCodexAdaptation", "enableOpenAIResponsesPayloadRules"}
	legacyTimes = []string{"createdAt", "updatedAt", "lastUsedAt", "activatedAt", "expiresAt", "deletedAt"}
	legacyLists = []string{"permissions", "restrictedModels", "allowedClients", "tags"}
)

// decodeLegacy reads a hash as the service does, and requires its exact forms.
func decodeLegacy(t testing.TB, fields map[string]string) legacyKey {
	t.Helper()
	k := legacyKey{map[string]string{}, map[string]float64{}, map[string]bool{}, map[string]time.Time{}, map[string][]string{}, nil}
	for _, f := range legacyTexts {
		k.Texts[f] = fields[f]
	}
	for _, f := range legacyNumbers {
		n, err := strconv.ParseFloat(fields[f], 64)
		require.NoError(t, err, f)
		k.Numbers[f] = n
	}
	for _, f := range legacyFlags {
		require.Contains(t, []string{"true", "false", ""}, fields[f], f)
		k.Flags[f] = fields[f] == "true"
	}
	for _, f := range legacyTimes {
		if fields[f] != "" {
			at, err := time.Parse("2006-01-02T15:04:05.000Z", fields[f])
			require.NoError(t, err, f)
			k.Times[f] = at
		}
	}
	for _, f := range legacyLists {
		require.True(t, strings.HasPrefix(fields[f], "["), f)
		var list []string
		require.NoError(t, json.Unmarshal([]byte(fields[f]), &list), f)
		k.Lists[f] = list
	}
	require.NoError(t, json.Unmarshal([]byte(fields["serviceRates"]), &k.Rates))
	return k
}

func withKey(encryptionKey string) func(*repo.Config) {
	return func(c *repo.Config) { c.LegacyEncryptionKey = encryptionKey }
}

func float(m result.Money) float64 { return m.Decimal().InexactFloat64() }

func splitWords(text string) []string { return strings.Split(text, ",") }

func orEmpty(doc string) string { return cmp.Or(doc, "[]") }

func orNone(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}
