package faultproxy

import (
	"errors"
	"net/url"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/redis/rueidis"
)

// Errors without their cause, which may hold a password.
var (
	errDatabaseURL = errors.New("the database URL cannot be parsed")
	errRedisURL    = errors.New("the Redis URL cannot be parsed")
)

// TB is what Postgres and Redis need of testing.TB: programs do not link testing.
type TB interface {
	Helper()
	Fatal(args ...any)
	Cleanup(f func())
}

// Postgres is [StartPostgres] until the test ends.
func Postgres(t TB, databaseURL string) (*Proxy, string) {
	t.Helper()
	return started(t, databaseURL, StartPostgres)
}

// Redis is [StartRedis] until the test ends.
func Redis(t TB, redisURL string) (*Proxy, string) {
	t.Helper()
	return started(t, redisURL, StartRedis)
}

func started(t TB, address string, start func(string) (*Proxy, string, error)) (*Proxy, string) {
	t.Helper()
	p, through, err := start(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p, through
}

// StartPostgres puts a proxy before the server of databaseURL and gives the URL
// that leads through it, without TLS.
func StartPostgres(databaseURL string) (*Proxy, string, error) {
	cfg, err := pgconn.ParseConfig(databaseURL)
	if err != nil {
		return nil, "", errDatabaseURL
	}
	p, err := Start(pgconn.NetworkAddress(cfg.Host, cfg.Port))
	if err != nil {
		return nil, "", err
	}
	u := url.URL{Scheme: "postgres", User: url.UserPassword(cfg.User, cfg.Password), Host: p.Addr(), Path: "/" + cfg.Database}
	u.RawQuery = url.Values{"sslmode": {"disable"}}.Encode()
	return p, u.String(), nil
}

// StartRedis does the same for a Redis URL.
func StartRedis(redisURL string) (*Proxy, string, error) {
	opt, err := rueidis.ParseURL(redisURL)
	if err != nil || len(opt.InitAddress) == 0 {
		return nil, "", errRedisURL
	}
	network := "tcp"
	if opt.DialCtxFn != nil {
		network = "unix"
	}
	p, err := Start(network, opt.InitAddress[0])
	if err != nil {
		return nil, "", err
	}
	u, _ := url.Parse(redisURL)
	if u.Scheme, u.Host = "redis", p.Addr(); network == "unix" {
		u.Path = ""
	}
	return p, u.String(), nil
}
