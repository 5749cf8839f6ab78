package faultproxy

import (
	"net/url"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/redis/rueidis"
)

// Postgres puts a proxy before the server of databaseURL until the test ends,
// and gives the URL that leads through it, without TLS.
func Postgres(t testing.TB, databaseURL string) (*Proxy, string) {
	t.Helper()
	cfg, err := pgconn.ParseConfig(databaseURL)
	if err != nil {
		t.Fatal("the database URL cannot be parsed")
	}
	p := start(t, func() (*Proxy, error) { return Start(pgconn.NetworkAddress(cfg.Host, cfg.Port)) })
	u := url.URL{Scheme: "postgres", User: url.UserPassword(cfg.User, cfg.Password), Host: p.Addr(), Path: "/" + cfg.Database}
	u.RawQuery = url.Values{"sslmode": {"disable"}}.Encode()
	return p, u.String()
}

// Redis does the same for a Redis URL.
func Redis(t testing.TB, redisURL string) (*Proxy, string) {
	t.Helper()
	opt, err := rueidis.ParseURL(redisURL)
	if err != nil || len(opt.InitAddress) == 0 {
		t.Fatal("the Redis URL cannot be parsed")
	}
	network := "tcp"
	if opt.DialCtxFn != nil {
		network = "unix"
	}
	p := start(t, func() (*Proxy, error) { return Start(network, opt.InitAddress[0]) })
	u, _ := url.Parse(redisURL)
	if u.Scheme, u.Host = "redis", p.Addr(); network == "unix" {
		u.Path = ""
	}
	return p, u.String()
}

func start(t testing.TB, f func() (*Proxy, error)) *Proxy {
	t.Helper()
	p, err := f()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}
