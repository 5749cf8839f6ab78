package accounts

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

const (
	// touchEvery is how often a process notes that an account is used.
	touchEvery = time.Second
	// usualLimit is how long an account is limited where its provider does not say, and
	// longestLimit what it may say.
	usualLimit   = time.Minute
	longestLimit = 7 * 24 * time.Hour
)

// GetFreshCredentials is GetCredentials with an access token that goes on working for so
// long: an active account's that ends before is refreshed first, as RefreshOAuthToken
// does, whose errors come then. A token whose end is unknown is taken as it is.
func (r *Repo) GetFreshCredentials(ctx context.Context, accountID string, left time.Duration) result.Result[Credentials] {
	c, err := r.credentials(ctx, accountID)
	if err != nil || !c.IsActive || c.ExpiresAt.IsZero() || c.ExpiresAt.Sub(r.now()) > left {
		return result.Of(c, err)
	}
	fresh, err := r.RefreshOAuthToken(ctx, accountID).Get()
	if err != nil {
		return result.Fail[Credentials](err)
	}
	c.AccessToken, c.ExpiresAt = fresh.AccessToken, fresh.ExpiresAt
	return result.OK(c)
}

// uses are when a process has noted the uses of accounts.
type uses struct {
	every time.Duration

	mu sync.Mutex
	at map[uuid.UUID]time.Time
}

func newUses() *uses { return &uses{every: touchEvery, at: make(map[uuid.UUID]time.Time)} }

// due tells whether the use of an account is to be noted, and that it is.
func (u *uses) due(id uuid.UUID, now time.Time) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if since := now.Sub(u.at[id]); 0 <= since && since < u.every {
		return false
	}
	if len(u.at) >= cachedAccounts {
		clear(u.at)
	}
	u.at[id] = now
	return true
}

// TouchAccount notes that an account is used now, so that GetAvailableAccounts gives others
// of its priority first. Its status stays what it is. A process writes it once a second an
// account; between, it is a success that writes nothing. A deleted account is
// RecordNotFound.
func (r *Repo) TouchAccount(ctx context.Context, accountID string) result.Status {
	id, err := result.ParseID("accountId", accountID)
	if err != nil {
		return result.StatusOf(err)
	}
	now := r.tick()
	if !r.Primary.InTx() && !r.uses.due(id, now) {
		return result.Status{}
	}
	return r.changeOne(ctx, id, func(f *found) patch { return f.usePatch(now) }, func(ctx context.Context, tx db.DBTX) (int64, error) {
		return r.queries.AccountTouch(ctx, tx, db.AccountTouchParams{ID: id, At: now})
	})
}

// LimitAccount makes an account rate_limited for so long, up to 7 days, or for a minute
// where d is not positive. Unlike UpdateAccountStatus, it leaves one that somebody has set
// inactive, or that is in error, as it is, and never shortens a limit. A deleted account
// is RecordNotFound.
func (r *Repo) LimitAccount(ctx context.Context, accountID string, d time.Duration) result.Status {
	id, err := result.ParseID("accountId", accountID)
	if err != nil {
		return result.StatusOf(err)
	}
	if d <= 0 {
		d = usualLimit
	}
	now := r.moments.next(r.tick())
	until := now.Add(min(d, longestLimit))
	return r.changeOne(ctx, id, func(f *found) patch { return f.limitPatch(until, now) }, func(ctx context.Context, tx db.DBTX) (int64, error) {
		return r.queries.AccountLimit(ctx, tx, db.AccountLimitParams{ID: id, Until: until, Now: now})
	})
}

// changeOne is for what no cache keeps: by a plan where Redis is the primary, else by a
// statement.
func (r *Repo) changeOne(ctx context.Context, id uuid.UUID, plan func(*found) patch, f func(context.Context, db.DBTX) (int64, error)) result.Status {
	return result.StatusOf(strategy.Followed(func() error {
		switch l, err := r.onRedis(); {
		case err != nil:
			return err
		case l != nil:
			_, err := l.change(ctx, id, func(f *found) (patch, error) { return plan(f), nil })
			return err
		}
		return r.Primary.Write(ctx, func(ctx context.Context, tx db.DBTX) error {
			n, err := f(ctx, tx)
			if err == nil && n == 0 {
				return result.RecordNotFound
			}
			return err
		})
	}))
}

// RetryAfter is how long a provider's answer asks to wait, in seconds or until a date; 0
// where it does not say.
func RetryAfter(h http.Header) time.Duration {
	text := h.Get("Retry-After")
	if seconds, err := strconv.ParseUint(text, 10, 32); err == nil {
		return time.Duration(seconds) * time.Second //nolint:gosec // 32 bits of seconds fit
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(time.Until(at), 0)
	}
	return 0
}

// URL is the proxy's, password included, as net/http takes it; nil without a proxy.
func (p *ProxyConfig) URL() *url.URL {
	if p == nil {
		return nil
	}
	u := &url.URL{Scheme: p.Type, Host: net.JoinHostPort(p.Host, strconv.Itoa(p.Port))}
	if p.Username != "" || p.Password != "" {
		u.User = url.UserPassword(p.Username, p.Password)
	}
	return u
}

type proxyKey struct{}

// NewHTTPClient makes a client for calls to providers. Each goes through the proxy of its
// context, see WithProxy: accounts share the client, and no connection where their proxies
// differ. It follows no redirect: tokens go nowhere else. It bounds no call's time.
func NewHTTPClient() *http.Client {
	return &http.Client{
		Transport:     &http.Transport{Proxy: proxyOf, MaxIdleConnsPerHost: 64, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// WithProxy gives a context whose calls by NewHTTPClient's go through a proxy; nil is none.
func WithProxy(ctx context.Context, p *ProxyConfig) context.Context {
	return context.WithValue(ctx, proxyKey{}, p)
}

// proxyOf gives that of WithProxy, and, as http.ProxyFromEnvironment, none for a server on
// this machine.
func proxyOf(r *http.Request) (*url.URL, error) {
	p, _ := r.Context().Value(proxyKey{}).(*ProxyConfig)
	host := r.URL.Hostname()
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
		return nil, nil
	}
	return p.URL(), nil
}
