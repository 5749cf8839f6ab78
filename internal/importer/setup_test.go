package importer_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/devstack"
	"github.com/seed14a526e0/relaystore/internal/importer"
	"github.com/seed14a526e0/relaystore/internal/seal"
	"github.com/seed14a526e0/relaystore/internal/testclient"
	"github.com/seed14a526e0/relaystore/repo"
)

const fixtureKey = "fixture-encryption-key-32-chars!"

// deployment is a legacy Redis and a library that is to take it.
type deployment struct {
	url    string
	redis  rueidis.Client
	cfg    repo.Config
	client *repo.Client
}

// deploy starts an empty Redis and opens the library on an empty database.
func deploy(t *testing.T) *deployment {
	t.Helper()
	stack, err := devstack.Start(t.Context(), devstack.Options{SkipPostgres: true})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, stack.Close()) })
	d := &deployment{url: stack.RedisURL, cfg: testclient.Config(t)}
	opt, err := rueidis.ParseURL(d.url)
	require.NoError(t, err)
	opt.DisableCache = true
	d.redis, err = rueidis.NewClient(opt)
	require.NoError(t, err)
	t.Cleanup(d.redis.Close)
	d.do(t, "CONFIG", "SET", "appendonly", "no") // nobody restarts it
	d.cfg.Keyset, err = seal.Generate()
	require.NoError(t, err)
	d.cfg.LegacyEncryptionKey = fixtureKey
	d.client = testclient.Open(t, d.cfg)
	return d
}

func fixture(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join("..", "..", "..", "shared", "fixtures", "legacy-redis", name)
	if _, err := os.Stat(path); err != nil {
		t.Skip("needs ../shared/fixtures/legacy-redis beside the project")
	}
	return path
}

func unzip(t *testing.T, path string) io.Reader {
	t.Helper()
	file, err := os.Open(path)
	require.NoError(t, err)
	t.Cleanup(func() { _ = file.Close() })
	zipped, err := gzip.NewReader(file)
	require.NoError(t, err)
	return zipped
}

// load sends the commands of a file to Redis.
func (d *deployment) load(t *testing.T, path string) {
	t.Helper()
	at, err := url.Parse(d.url)
	require.NoError(t, err)
	conn, err := net.Dial("tcp", at.Host)
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	password, _ := at.User.Password()
	commands := unzip(t, path)
	sent := make(chan error, 1)
	go func() {
		_, err := io.Copy(conn, io.MultiReader(strings.NewReader("AUTH "+password+"\r\n"), commands, strings.NewReader("ECHO loaded\r\n")))
		sent <- err
	}()
	for answers := bufio.NewReader(conn); ; {
		line, err := answers.ReadString('\n')
		require.NoError(t, err)
		require.NotEqual(t, byte('-'), line[0], line)
		if line == "loaded\r\n" {
			break
		}
	}
	require.NoError(t, <-sent)
}

func (d *deployment) do(t *testing.T, command ...string) rueidis.RedisResult {
	t.Helper()
	answer := d.redis.Do(t.Context(), d.redis.B().Arbitrary(command...).Build())
	require.NoError(t, answer.NonRedisError())
	return answer
}

// report is what the command prints.
type report struct {
	Found       map[string]int      `json:"found"`
	Imported    map[string]int      `json:"imported"`
	Skipped     []importer.Skipped  `json:"skipped"`
	Compare     []importer.Compared `json:"compare"`
	Unexplained int                 `json:"unexplained"`
	written     int64
}

func (d *deployment) importWith(t *testing.T, source importer.Source, opts importer.Options) (report, error) {
	t.Helper()
	rep, err := importer.Import(t.Context(), d.client, source, opts)
	if err != nil {
		return report{}, err
	}
	defer rep.Close()
	var out bytes.Buffer
	require.NoError(t, rep.WriteJSON(&out))
	dec := json.NewDecoder(&out)
	dec.DisallowUnknownFields()
	read := report{written: rep.Written}
	require.NoError(t, dec.Decode(&read))
	return read, nil
}

// run imports the Redis as the command does.
func (d *deployment) run(t *testing.T) report {
	t.Helper()
	source, err := importer.OpenRedis(d.url)
	require.NoError(t, err)
	defer func() { _ = source.Close() }()
	rep, err := d.importWith(t, source, importer.Options{EncryptionKey: fixtureKey, OffsetHours: 8})
	require.NoError(t, err)
	return rep
}

// addr is where the Redis listens.
func (d *deployment) addr(t *testing.T) string {
	t.Helper()
	at, err := url.Parse(d.url)
	require.NoError(t, err)
	return at.Host
}
