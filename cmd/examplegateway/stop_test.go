package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo/accounts"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
)

// load is a client that asks until the gateway refuses, and counts what it was answered.
type load struct {
	*process
	key                   string
	answered, words, torn atomic.Int64
}

func (l *load) run(client *http.Client, worker int) {
	for n := worker; ; n++ {
		words := n%7 + 1
		body := fmt.Sprintf(`{"model":"m","stream":%t,"messages":[{"role":"user","content":%q}]}`, n%2 == 0, strings.Repeat("w ", words))
		resp, err := client.Do(l.request(body, "X-Api-Key", l.key))
		if err != nil {
			return // the listener is closed
		}
		text, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return // refused by the stop
		}
		l.answered.Add(1)
		l.words.Add(int64(words))
		if err != nil || !strings.Contains(string(text), "w") {
			l.torn.Add(1)
		}
	}
}

// SIGTERM comes amid load: every response that began ends whole, and the ledger has each of
// them once and nothing else.
func TestGracefulStopLosesNothing(t *testing.T) {
	const workers, before = 24, 3000
	b := setup(t)
	b.account(accounts.AccountData{})
	_, key := b.key(apikeys.KeyData{})
	p := b.start()
	l := &load{process: p, key: key}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: workers}}
	t.Cleanup(client.CloseIdleConnections)
	var group sync.WaitGroup
	for worker := range workers {
		group.Go(func() { l.run(client, worker) })
	}
	p.until(func() bool { return l.answered.Load() >= before })
	p.stop(0)
	group.Wait()
	require.Zero(t, l.torn.Load())
	got := b.ledger()
	n, words := l.answered.Load(), l.words.Load()
	require.GreaterOrEqual(t, n, int64(before))
	got.Cost = ""
	require.Equal(t, ledger{Records: n, Requests: n, Input: words, Output: words, Total: 2 * words}, got)
	t.Logf("%d answered", n)
}

// Streams that last longer than the grace are cut, and recorded with what was produced.
func TestGraceEnds(t *testing.T) {
	b := setup(t)
	b.account(accounts.AccountData{})
	_, key := b.key(apikeys.KeyData{})
	p := b.start("-upstream", newHeld(t).URL, "-grace", "50ms")
	var streams []*reading
	for range 5 {
		s := p.stream(key)
		s.until("first")
		streams = append(streams, s)
	}
	p.stop(0)
	for _, s := range streams {
		_, err := io.ReadAll(s.in)
		require.Error(t, err)
	}
	require.Equal(t, ledger{Records: 5, Requests: 5, Input: 25, Output: 10, Total: 35, Cost: "0.000225"}, b.ledger())
}

// A stream that ends within the grace ends whole.
func TestStreamEndsWithinTheGrace(t *testing.T) {
	b := setup(t)
	b.account(accounts.AccountData{})
	_, key := b.key(apikeys.KeyData{})
	up := newHeld(t)
	p := b.start("-upstream", up.URL, "-grace", wait.String())
	s := p.stream(key)
	s.until("first")
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	p.until(func() bool { // the stop has begun
		resp, err := http.Get(p.url + "/healthz")
		if err == nil {
			_ = resp.Body.Close()
		}
		return err != nil
	})
	close(up.goOn)
	s.until("message_stop")
	<-p.ended
	require.Zero(t, p.cmd.ProcessState.ExitCode(), p.logs)
	require.EqualValues(t, 1, b.ledger().Records)
}

// PostgreSQL stays away until the end: the log has what the ledger has not, and the exit
// code says so.
func TestLostRecordsAreTold(t *testing.T) {
	b := setup(t)
	account := b.account(accounts.AccountData{})
	id, key := b.key(apikeys.KeyData{})
	proxy := b.throughProxy()
	up := newHeld(t)
	p := b.start("-upstream", up.URL)
	s := p.stream(key)
	s.until("first")
	proxy.Cut()
	close(up.goOn)
	s.until("message_stop")
	p.stop(1)
	for line := range strings.Lines(b.logs.String()) {
		var said struct {
			Msg    string
			Record map[string]any
		}
		require.NoError(t, json.Unmarshal([]byte(line), &said), line)
		if said.Msg == "usage could not be recorded" {
			require.Equal(t, []any{id, account, 5.0, 7.0}, []any{said.Record["apiKeyId"], said.Record["accountId"], said.Record["inputTokens"], said.Record["outputTokens"]})
			require.NotEmpty(t, said.Record["requestId"])
			return
		}
	}
	require.Fail(t, "not told", b.logs)
}

// Whoever copies it reads it whole: fewer than 400 lines, imports and comments included.
func TestItIsShort(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	lines := 0
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		lines += strings.Count(string(text), "\n")
	}
	require.Less(t, lines, 400)
	require.Greater(t, lines, 200)
}
