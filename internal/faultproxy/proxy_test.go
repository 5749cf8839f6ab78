package faultproxy_test

import (
	"io"
	"net"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/faultproxy"
)

// setup gives a proxy before a server that sends back what it gets.
func setup(t *testing.T) *faultproxy.Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(c, c)
				_ = c.Close()
			}()
		}
	}()
	p, err := faultproxy.Start("tcp", l.Addr().String())
	require.NoError(t, err)
	t.Cleanup(p.Close)
	return p
}

func dial(t *testing.T, p *faultproxy.Proxy) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", p.Addr())
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func send(t *testing.T, c net.Conn, text string) {
	t.Helper()
	_, err := io.WriteString(c, text)
	require.NoError(t, err)
}

func receive(t *testing.T, c net.Conn, n int) string {
	t.Helper()
	buf := make([]byte, n)
	_, err := io.ReadFull(c, buf)
	require.NoError(t, err)
	return string(buf)
}

// rest gives what still arrives until the connection ends.
func rest(c net.Conn) string {
	got, _ := io.ReadAll(c) // a reset is an end, too
	return string(got)
}

func TestPass(t *testing.T) {
	t.Parallel()
	p := setup(t)
	c := dial(t, p)
	long := strings.Repeat("0123456789abcdef", 10_000)
	go func() { _, _ = io.WriteString(c, long) }()
	require.Equal(t, long, receive(t, c, len(long)))
	require.Equal(t, 1, p.Accepted())
}

func TestCut(t *testing.T) {
	t.Parallel()
	p := setup(t)
	c := dial(t, p)
	send(t, c, "a")
	require.Equal(t, "a", receive(t, c, 1))
	p.Cut()
	require.Empty(t, rest(c))
	require.Empty(t, rest(dial(t, p)))
	p.Pass()
	c = dial(t, p)
	send(t, c, "b")
	require.Equal(t, "b", receive(t, c, 1))
	p.CutOnce()
	require.Empty(t, rest(c))
	c = dial(t, p)
	send(t, c, "c")
	require.Equal(t, "c", receive(t, c, 1))
}

func TestStall(t *testing.T) {
	t.Parallel()
	p := setup(t)
	p.Stall()
	c := dial(t, p)
	send(t, c, "held")
	arrived := make(chan string)
	go func() { arrived <- rest(c) }()
	select {
	case got := <-arrived:
		require.Fail(t, "the connection ended", got)
	default:
	}
	p.Pass()
	send(t, c, " back")
	require.NoError(t, c.(*net.TCPConn).CloseWrite())
	require.Contains(t, "held back", <-arrived) // the end may overtake the echo
}

func TestCloseEndsStalledConnections(t *testing.T) {
	t.Parallel()
	p := setup(t)
	p.Stall()
	c := dial(t, p)
	send(t, c, "held")
	p.Close()
	require.Empty(t, rest(c))
	p.Pass() // has no effect
	_, err := net.Dial("tcp", p.Addr())
	require.Error(t, err)
}

func TestOn(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		action faultproxy.Action
		writes []string
		want   string
	}{
		{"before", faultproxy.CutBefore, []string{"one STOP two"}, "one "},
		{"after", faultproxy.CutAfter, []string{"one STOP two"}, "one STOP"},
		{"before, in pieces", faultproxy.CutBefore, []string{"one S", "TOP two"}, "one S"},
		{"after, in pieces", faultproxy.CutAfter, []string{"one S", "TO", "P two"}, "one STOP"},
		{"twice the beginning", faultproxy.CutAfter, []string{"STOSTOP two"}, "STOSTOP"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := setup(t)
			c := dial(t, p)
			send(t, c, "x")
			require.Equal(t, "x", receive(t, c, 1))
			done := p.On(faultproxy.ToClient, "STOP", test.action)
			var got strings.Builder
			for _, w := range test.writes[:len(test.writes)-1] {
				send(t, c, w)
				got.WriteString(receive(t, c, len(w)))
			}
			send(t, c, test.writes[len(test.writes)-1])
			got.WriteString(rest(c))
			<-done
			require.Equal(t, test.want, got.String())
		})
	}
}

func TestOnStalls(t *testing.T) {
	t.Parallel()
	p := setup(t)
	c := dial(t, p)
	done := p.On(faultproxy.ToServer, "STOP", faultproxy.StallAfter)
	send(t, c, "one STOP two")
	<-done
	p.Pass()
	require.Equal(t, "one STOP two", receive(t, c, 12))
	send(t, c, "STOP") // armed for one time only
	require.Equal(t, "STOP", receive(t, c, 4))
}

func TestAfter(t *testing.T) {
	t.Parallel()
	p := setup(t)
	c := dial(t, p)
	send(t, c, "abc")
	require.Equal(t, "abc", receive(t, c, 3))
	done := p.After(faultproxy.ToClient, 5, faultproxy.CutAfter)
	send(t, c, "def")
	require.Equal(t, "def", receive(t, c, 3))
	send(t, c, "ghi")
	require.Equal(t, "gh", rest(c))
	<-done
}

// A match may be of any length, and lie in two pieces.
func TestOnMatch(t *testing.T) {
	t.Parallel()
	pattern := regexp.MustCompile(`ST[O0]+P`)
	for action, want := range map[faultproxy.Action]string{faultproxy.CutBefore: "STEP STO", faultproxy.CutAfter: "STEP STO0OP"} {
		p := setup(t)
		c := dial(t, p)
		done := p.OnMatch(faultproxy.ToClient, pattern, action)
		send(t, c, "STEP STO")
		got := receive(t, c, 8)
		send(t, c, "0OP two")
		got += rest(c)
		<-done
		require.Equal(t, want, got)
	}
}

func TestCount(t *testing.T) {
	t.Parallel()
	p := setup(t)
	c := dial(t, p)
	send(t, c, "STOP")
	require.Equal(t, "STOP", receive(t, c, 4))
	pattern := regexp.MustCompile(`ST[O0]+P`)
	up, down := p.Count(faultproxy.ToServer, pattern), p.Count(faultproxy.ToClient, pattern)
	for _, text := range []string{" STOP ST0P ST", "OOP", " STOP"} {
		send(t, c, text)
		require.Equal(t, text, receive(t, c, len(text)))
	}
	require.EqualValues(t, 4, down.Load())
	require.EqualValues(t, 4, up.Load())
	send(t, c, "ST")
	require.Equal(t, "ST", receive(t, c, 2))
	other := dial(t, p)
	send(t, other, "OP")
	require.Equal(t, "OP", receive(t, other, 2))
	require.EqualValues(t, 4, down.Load(), "two connections' bytes make no match")
}
