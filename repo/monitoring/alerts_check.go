package monitoring

import (
	"math"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/seed14a526e0/relaystore/repo/result"
)

const (
	maxAlerts        = 1000
	maxAlertDuration = 7 * 24 * time.Hour
	maxWebhook       = 2048
)

// AlertMetrics are the names that an alert can have: where a figure stands in
// getPerformanceMetrics or getStorageHealth, in its unit there. redis.connected is 1 or
// 0, redis.memory.utilization is used by max.
var AlertMetrics = []string{
	"database.avgQueryTime", "database.slowQueries", "database.connectionPool.utilization", "database.connectionPool.waitTime",
	"cache.hitRate", "cache.missRate", "cache.evictionRate", "errors.rate",
	"postgres.latency", "postgres.poolStatus.waiting", "postgres.outboxLag",
	"redis.connected", "redis.latency", "redis.memory.used", "redis.memory.utilization", "redis.heartbeatAge",
	"redis.journal.length", "redis.journal.age", "redis.journal.refused", "redis.touches.length", "redis.touches.age", "redis.touches.refused",
}

// check refuses what is out of bounds, naming the member. What it lets pass, the
// database's own checks let pass, too.
func (a *Alerts) check(c AlertConfig) error {
	switch {
	case !slices.Contains(AlertMetrics, c.Metric):
		return result.Invalid("metric", "must be one of %s", strings.Join(AlertMetrics, ", "))
	case a.Sources[c.Metric] == nil:
		return result.Invalid("metric", "this process does not measure it")
	case c.Operator != Above && c.Operator != Below && c.Operator != AtLeast:
		return result.Invalid("operator", "must be >, < or >=")
	case math.IsNaN(c.Threshold) || math.IsInf(c.Threshold, 0):
		return result.Invalid("threshold", "must be a finite number")
	case c.Duration < 0 || c.Duration > maxAlertDuration:
		return result.Invalid("duration", "must lie between 0 and %.0f seconds", maxAlertDuration.Seconds())
	case c.Duration%time.Millisecond != 0:
		return result.Invalid("duration", "must be whole milliseconds")
	}
	return a.checkWebhook(c.Webhook)
}

func (a *Alerts) checkWebhook(text string) error {
	if text == "" {
		return nil
	}
	if len(a.Secret) == 0 {
		return result.Invalid("webhook", "there is no secret to sign with: set RELAYSTORE_ALERT_SECRET")
	}
	u, err := url.Parse(text)
	switch {
	case len(text) > maxWebhook:
		return result.Invalid("webhook", "longer than %d bytes", maxWebhook)
	case result.CheckText("webhook", text, maxWebhook) != nil || err != nil:
		return result.Invalid("webhook", "not a URL") // its own error would quote it
	case u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.Opaque != "":
		return result.Invalid("webhook", "must be an http or https URL with a host")
	case u.User != nil:
		return result.Invalid("webhook", "must not hold a user name or password: it is stored and listed")
	case u.Fragment != "":
		return result.Invalid("webhook", "must not hold a fragment")
	}
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil && !a.PrivateWebhooks && public.SafeAddr(ip) != nil {
		return result.Invalid("webhook", "not a public address: RELAYSTORE_ALERT_PRIVATE_WEBHOOKS allows such")
	}
	return nil
}
