package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/testclient"
	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/accounts"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/usage"
	"github.com/seed14a526e0/relaystore/strategy"
)

const (
	serviceSecret = "the ENCRYPTION_KEY of a test"
	alice         = "11111111-1111-4111-8111-111111111111"
	bob           = "22222222-2222-4222-8222-222222222222"
	mainAccount   = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa"
	spareAccount  = "bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb"
)

// service stands for the legacy service: a client whose primary is a Redis of its own
// writes there what the service would.
type service struct {
	*repo.Client

	url      string
	redis    rueidis.Client
	aliceKey string
}

// startService makes one with two keys, two accounts, of which one is paused, and usage.
func startService(t *testing.T) *service {
	t.Helper()
	cfg := testclient.Config(t)
	cfg.PrimaryRedisURL, cfg.LegacyEncryptionKey = testclient.LegacyRedis(t), serviceSecret
	s := &service{url: cfg.PrimaryRedisURL, redis: testdb.RedisAt(t, cfg.PrimaryRedisURL)}
	s.Client = testclient.OnRedis(t, cfg, strategy.APIKey, strategy.Account, strategy.Usage)
	ctx := t.Context()
	key, err := s.APIKeys.CreateAPIKey(ctx, apikeys.KeyData{ID: alice, Name: "alice", Tags: []string{"team-a"}}).Get()
	require.NoError(t, err)
	s.aliceKey = key.APIKey
	require.NoError(t, s.APIKeys.CreateAPIKey(ctx, apikeys.KeyData{ID: bob, Name: "bob"}).Err())
	paused := false
	for _, a := range []accounts.AccountData{{ID: mainAccount, Name: "main"}, {ID: spareAccount, Name: "spare", Schedulable: &paused}} {
		a.Platform = accounts.Claude
		a.OAuthData = &accounts.OAuthData{AccessToken: "at-" + a.Name, RefreshToken: "rt", Scopes: []string{"user:inference"}, ExpiresAt: time.Now().AddDate(1, 0, 0)}
		require.NoError(t, s.Accounts.CreateAccount(ctx, a).Err())
	}
	s.serve(t, alice, 20)
	s.serve(t, bob, 5)
	return s
}

// serve records n requests of a key.
func (s *service) serve(t *testing.T, key string, n int) {
	t.Helper()
	for range n {
		require.NoError(t, s.Usage.RecordUsage(t.Context(), usage.Record{
			APIKeyID: key, AccountID: mainAccount, AccountType: "claude-official", Model: "claude-sonnet-4-20250514", RequestCount: 1,
			InputTokens: 100, OutputTokens: 20, TotalTokens: 120, Cost: result.MustMoney("0.0006"),
		}).Err())
	}
}

// rid takes away what the service itself would not write.
func (s *service) rid(t *testing.T) {
	t.Helper()
	ctx, c := t.Context(), s.redis
	own, err := c.Do(ctx, c.B().Keys().Pattern("relaystore:*").Build()).AsStrSlice()
	require.NoError(t, err)
	if len(own) > 0 {
		require.NoError(t, c.Do(ctx, c.B().Del().Key(own...).Build()).Error())
	}
	for _, key := range []string{"apikey:" + alice, "apikey:" + bob, "claude:account:" + mainAccount, "claude:account:" + spareAccount} {
		require.NoError(t, c.Do(ctx, c.B().Hdel().Key(key).Field("relaystoreHash", "relaystoreCreatedAt").Build()).Error())
	}
}

// ending ends what commands have left running, whose output is waited for.
const ending = "trap 'kill $! 2>/dev/null || :' EXIT\n"

// step is a page's block of commands and what it says that they print.
type step struct{ commands, prints string }

func steps(t *testing.T, page string) (all []step) {
	t.Helper()
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	for _, m := range regexp.MustCompile("(?s)```sh\n(.*?)```(?:\n\n```text\n(.*?)```)?").FindAllStringSubmatch(string(text), -1) {
		all = append(all, step{m[1], m[2]})
	}
	return all
}

var blanks = regexp.MustCompile(`[ ─]+`)

// requirePrinted compares what commands print with what the page says, whatever the
// widths of tables; … stands for anything.
func requirePrinted(t *testing.T, s step, printed string) {
	t.Helper()
	lines := func(text string) string { return strings.TrimSpace(blanks.ReplaceAllString(text, " ")) }
	want := strings.ReplaceAll(regexp.QuoteMeta(lines(s.prints)), "…", "(?s:.*)")
	require.Regexp(t, "^"+want+"$", lines(printed), "%s\nprints:\n%s", s.commands, printed)
}

// The guide's commands, in their order, on a deployment like the one that it shows.
func TestMigrating(t *testing.T) {
	t.Parallel()
	s, folder := startService(t), t.TempDir()
	run(t, nil, "go", "build", "-o", folder, "./cmd/...")
	require.NoError(t, os.WriteFile(filepath.Join(folder, "encryption-key"), []byte(serviceSecret+"\n"), 0o600))
	env := []string{
		"DATABASE_URL=" + testdb.EmptyURL(t), "REDIS_URL=" + testdb.RedisURL(t), "RELAYSTORE_KEY_PREFIX=" + testdb.Prefix(t),
		"SERVICE_REDIS=" + s.url, "RELAYSTORE_KEYSET_FILE=" + filepath.Join(folder, "keyset.json"),
		"RELAYSTORE_PRIMARY_REDIS_URL=" + s.url, "RELAYSTORE_LEGACY_ENCRYPTION_KEY=" + serviceSecret,
		`RELAYSTORE_OAUTH={"claude": {"tokenUrl": "https://provider.example/oauth/token", "clientId": "c"}}`, "ALICE=" + s.aliceKey,
		"PATH=" + folder + string(os.PathListSeparator) + os.Getenv("PATH"),
	}
	here := strings.NewReplacer("8080", freePort(t), "encryption-key-file encryption-key", "encryption-key-file "+filepath.Join(folder, "encryption-key"),
		"report.json", filepath.Join(folder, "report.json"))
	for i, step := range steps(t, "migrating.md") {
		require.NotEmpty(t, step.prints)
		if i == 3 { // after the first import
			s.serve(t, bob, 7)
		}
		s.rid(t)
		requirePrinted(t, step, run(t, env, "sh", "-ec", ending+here.Replace(step.commands)))
	}
}
