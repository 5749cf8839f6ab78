package main

import (
	"compress/gzip"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/replay"
	"github.com/seed14a526e0/relaystore/internal/testdb"
)

// The sums were computed with awk from the file and the prices of replay's help.
const (
	sample       = "../../docs/sample-trace.csv"
	sampleInput  = 855018
	sampleOutput = 9820
	sampleCost   = "4.8774685"
)

func serverEnv(t *testing.T, databaseURL string) []string {
	t.Helper()
	return []string{
		"DATABASE_URL=" + databaseURL, "REDIS_URL=" + testdb.RedisURL(t), "RELAYSTORE_KEY_PREFIX=" + testdb.Prefix(t),
		"RELAYSTORE_DIRECT_URL=",
	}
}

func replayed(t *testing.T, env []string, args ...string) replay.Report {
	t.Helper()
	p := relaystore(t, env, append([]string{"replay", "--json"}, args...)...)
	out, code := p.finish(t)
	require.Equal(t, exitOK, code, p.errors.String())
	var rep replay.Report
	require.NoError(t, json.Unmarshal([]byte(out), &rep))
	return rep
}

func TestReplayTwice(t *testing.T) {
	t.Parallel()
	env := serverEnv(t, testdb.URL(t))
	first := replayed(t, env, sample)
	require.EqualValues(t, 400, first.Requests)
	require.EqualValues(t, sampleInput, first.InputTokens)
	require.EqualValues(t, sampleOutput, first.OutputTokens)
	require.Equal(t, first.InputTokens+first.OutputTokens, first.TotalTokens)
	require.Equal(t, sampleCost, first.Cost.String())
	require.Zero(t, first.Duplicates)
	require.Len(t, first.Models, 4)
	require.EqualValues(t, 100, first.Models["gpt-4o"].Requests)

	second := replayed(t, env, sample)
	require.EqualValues(t, 400, second.Duplicates)
	second.Duplicates, second.ValidationsPerSecond, second.RecordsPerSecond = 0, first.ValidationsPerSecond, first.RecordsPerSecond
	require.Equal(t, first, second)

	p := relaystore(t, env, "replay", sample)
	out, code := p.finish(t)
	require.Equal(t, exitOK, code)
	require.Contains(t, out, "400 rows had been recorded before and were not counted again.")

	other := replayed(t, env, sample, "--keys", "3", "--callers", "1")
	require.EqualValues(t, 400, other.Requests, "another number of keys is another replay")
	require.Zero(t, other.Duplicates)
}

// The traces lie beside the project where it is developed; the sums are from
// elsewhere.
func TestReplayRealTraces(t *testing.T) {
	t.Parallel()
	for file, want := range map[string][4]string{
		"azure_llm_2023_code.csv.gz": {"8819", "18059974", "245896", "101.560341"},
		"azure_llm_2023_conv.csv.gz": {"19366", "22361870", "4088665", "224.6975979"},
	} {
		path := filepath.Join("../../../shared/data", file)
		if _, err := os.Stat(path); err != nil {
			t.Logf("not replayed, not there: %s", file)
			continue
		}
		rep := replayed(t, serverEnv(t, testdb.URL(t)), path)
		require.Equal(t, want, [4]string{strconv.FormatInt(rep.Requests, 10), strconv.FormatInt(rep.InputTokens, 10), strconv.FormatInt(rep.OutputTokens, 10), rep.Cost.String()})
	}
}

// recordedIn counts the rows that are recorded.
func recordedIn(t *testing.T, url string) func() int {
	t.Helper()
	pool := testdb.Pool(t, url)
	return func() (n int) {
		require.NoError(t, pool.QueryRow(t.Context(), "SELECT count(*) FROM usage_requests").Scan(&n))
		return n
	}
}

func TestReplayAfterKill(t *testing.T) {
	t.Parallel()
	url := testdb.URL(t)
	env := serverEnv(t, url)
	p := relaystore(t, env, "replay", "--callers", "2", sample)
	recorded := recordedIn(t, url)
	require.Eventually(t, func() bool { return recorded() >= 20 }, patience, time.Millisecond)
	require.NoError(t, p.Process.Kill())
	_ = p.Wait()
	stored := recorded()
	require.Less(t, stored, 400, "killed in the middle")

	rep := replayed(t, env, sample)
	require.EqualValues(t, 400, rep.Requests)
	require.Equal(t, sampleCost, rep.Cost.String())
	require.GreaterOrEqual(t, rep.Duplicates, int64(stored))
}

func TestReplayIsInterrupted(t *testing.T) {
	t.Parallel()
	url := testdb.URL(t)
	p := relaystore(t, serverEnv(t, url), "replay", "--callers", "2", sample)
	recorded := recordedIn(t, url)
	require.Eventually(t, func() bool { return recorded() >= 20 }, patience, time.Millisecond)
	require.NoError(t, p.Process.Signal(os.Interrupt))
	_, code := p.finish(t)
	require.Equal(t, exitInterrupted, code)
	require.Regexp(t, `^relaystore: interrupted after \d+ of 400 rows; run the same command to go on`, p.errors.String())
}

func TestReplayNamesTheBadRow(t *testing.T) {
	t.Parallel()
	url := testdb.URL(t)
	env := serverEnv(t, url)
	const head = "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.9799600,4808,10\n"
	for name, c := range map[string]struct{ content, want string }{
		"words":    {head + "2023-11-16 18:17:04.0319600,many,8\n", "line 3: ContextTokens"},
		"negative": {head + "2023-11-16 18:17:04.0319600,1,-8\n", "line 3: GeneratedTokens"},
		"huge":     {head + "2023-11-16 18:17:04.0319600,99999999999999999999,8\n", "line 3: ContextTokens"},
		"date":     {head + "yesterday,1,8\n", "line 3: TIMESTAMP"},
		"past":     {head + "1999-11-16 18:17:04,1,8\n", "line 3: TIMESTAMP"},
		"columns":  {head + "2023-11-16 18:17:04.0319600,1\n", "line 3: "},
		"quote":    {head + "2023-11-16 18:17:04.0319600,\"1,8\n", "line 3: "},
		"header":   {"a,b,c\n", "line 1: no column TIMESTAMP"},
		"empty":    {"", "line 1: no header"},
		"no rows":  {"TIMESTAMP,ContextTokens,GeneratedTokens\n", "no rows"},
	} {
		path := filepath.Join(t.TempDir(), "trace.csv")
		require.NoError(t, os.WriteFile(path, []byte(c.content), 0o600))
		p := relaystore(t, env, "replay", path)
		_, code := p.finish(t)
		require.Equal(t, exitFailure, code, name)
		require.Contains(t, p.errors.String(), c.want, name)
		require.Equal(t, 1, strings.Count(p.errors.String(), "\n"), name)
	}
	var records, keys int
	pool := testdb.Pool(t, url)
	require.NoError(t, pool.QueryRow(t.Context(), "SELECT (SELECT count(*) FROM usage_records), (SELECT count(*) FROM api_keys)").Scan(&records, &keys))
	require.Zero(t, records+keys, "rows are checked before the first is recorded")
}

func TestReplayReadsGzipAndDamagedFiles(t *testing.T) {
	t.Parallel()
	env := serverEnv(t, testdb.URL(t))
	plain, err := os.ReadFile(sample)
	require.NoError(t, err)
	var packed strings.Builder
	z := gzip.NewWriter(&packed)
	_, err = z.Write(plain)
	require.NoError(t, err)
	require.NoError(t, z.Close())
	path := filepath.Join(t.TempDir(), "any-name")
	require.NoError(t, os.WriteFile(path, []byte(packed.String()), 0o600))
	require.EqualValues(t, 400, replayed(t, env, path).Requests)

	require.NoError(t, os.WriteFile(path, []byte(packed.String())[:packed.Len()/2], 0o600))
	p := relaystore(t, env, "replay", path)
	_, code := p.finish(t)
	require.Equal(t, exitFailure, code)
	require.Contains(t, p.errors.String(), "damaged")

	p = relaystore(t, env, "replay", "/no/such/file")
	_, code = p.finish(t)
	require.Equal(t, exitFailure, code)
	require.Contains(t, p.errors.String(), "/no/such/file")
}

func TestReplayNeedsAMigratedDatabase(t *testing.T) {
	t.Parallel()
	p := relaystore(t, serverEnv(t, testdb.EmptyURL(t)), "replay", sample)
	_, code := p.finish(t)
	require.Equal(t, exitNotMigrated, code)
	require.Contains(t, p.errors.String(), "relaystore migrate up")
}

func TestReplayRefusesWrongOptions(t *testing.T) {
	t.Parallel()
	env := serverEnv(t, testdb.URL(t))
	for _, args := range []string{"--keys 0", "--keys 10001", "--callers 0", "--callers 9999"} {
		p := relaystore(t, env, append(strings.Fields("replay "+args), sample)...)
		_, code := p.finish(t)
		require.Equal(t, exitUsage, code, args)
	}
	p := relaystore(t, env, "replay")
	_, code := p.finish(t)
	require.Equal(t, exitUsage, code)
}
