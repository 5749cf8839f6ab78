package monitoring_test

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo/monitoring"
	"github.com/seed14a526e0/relaystore/repo/result"
)

func TestRefusals(t *testing.T) {
	t.Parallel()
	b := setup(t, publicOnly)
	hook := func(url string) func(*monitoring.AlertConfig) {
		return func(c *monitoring.AlertConfig) { c.Webhook = url }
	}
	for field, changes := range map[string][]func(*monitoring.AlertConfig){
		"metric": {
			func(c *monitoring.AlertConfig) { c.Metric = "" },
			func(c *monitoring.AlertConfig) { c.Metric = "errors.rat" },
			func(c *monitoring.AlertConfig) { c.Metric = "errors.rate" }, // this process does not measure it
		},
		"operator":  {func(c *monitoring.AlertConfig) { c.Operator = "<=" }, func(c *monitoring.AlertConfig) { c.Operator = "" }},
		"threshold": {func(c *monitoring.AlertConfig) { c.Threshold = math.NaN() }, func(c *monitoring.AlertConfig) { c.Threshold = math.Inf(-1) }},
		"duration": {
			func(c *monitoring.AlertConfig) { c.Duration = -1 }, func(c *monitoring.AlertConfig) { c.Duration = 8 * 24 * time.Hour },
			func(c *monitoring.AlertConfig) { c.Duration = time.Microsecond },
		},
		"webhook": {
			hook("ftp://example.com"), hook("javascript:alert(1)"), hook("http:///path"), hook("//example.com"), hook("http:example.com"), hook("x"),
			hook("http://u:p@example.com"), hook("http://example.com/#f"), hook("http://exa\x00mple.com"), hook("https://example.com/" + strings.Repeat("x", 2048)),
			hook("http://127.0.0.1/"), hook("http://[::1]:80/"), hook("http://10.1.2.3/"), hook("http://169.254.169.254/latest"), hook("http://[::ffff:127.0.0.1]/"),
			hook("http://100.64.0.1/"), hook("http://[fd00::1]/"), hook("http://0.0.0.0/"), hook("http://[64:ff9b::7f00:1]/"),
		},
	} {
		for i, change := range changes {
			c := above(0, "")
			change(&c)
			err := b.SetPerformanceAlert(t.Context(), c).Err()
			require.ErrorIs(t, err, result.InvalidQuery, "%s %d", field, i)
			require.Equal(t, field, result.From(err).Field(), "%s %d", field, i)
		}
	}
	list, err := b.ListPerformanceAlerts(t.Context()).Get()
	require.NoError(t, err)
	require.Empty(t, list.Alerts)
	for _, good := range []string{"http://example.com", "https://example.com:8443/a?b=c", "http://8.8.8.8/", "http://[2606:4700::1]/"} {
		require.NoError(t, b.SetPerformanceAlert(t.Context(), above(0, good)).Err(), good)
	}
}

func TestNoSecretNoWebhook(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *monitoring.AlertsConfig) { c.Secret = nil })
	require.Equal(t, "webhook", result.From(b.SetPerformanceAlert(t.Context(), above(0, "https://example.com")).Err()).Field())
	b.set(above(0, ""))
}

func TestParseAlertSecret(t *testing.T) {
	t.Parallel()
	a, err := monitoring.ParseAlertSecret(secret)
	require.NoError(t, err)
	require.Len(t, a, 24)
	same, err := monitoring.ParseAlertSecret("whsec_" + secret)
	require.NoError(t, err)
	require.Equal(t, a, same)
	for _, bad := range []string{"", "whsec_", "short", secret[:20], strings.Repeat("A", 88), "not base64 at all, but long enough!"} {
		_, err := monitoring.ParseAlertSecret(bad)
		require.ErrorIs(t, err, result.InvalidQuery, bad)
	}
}

func TestSetListRemove(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for range 2 {
		b.set(above(time.Minute, "")) // the same is no second one
	}
	first := b.only()
	require.Equal(t, above(time.Minute, ""), first.AlertConfig)
	require.Equal(t, monitoring.AlertOK, first.State)
	b.set(above(time.Hour, ""))
	require.NoError(t, b.RemovePerformanceAlert(t.Context(), first.ID).Err())
	require.Equal(t, time.Hour, b.only().Duration)
	require.ErrorIs(t, b.RemovePerformanceAlert(t.Context(), first.ID).Err(), result.RecordNotFound)
	require.Equal(t, "alertId", result.From(b.RemovePerformanceAlert(t.Context(), "x").Err()).Field())
	doc, err := json.Marshal(b.ListPerformanceAlerts(t.Context()))
	require.NoError(t, err)
	require.Contains(t, string(doc), `"metric":"redis.memory.used","threshold":10,"operator":"\u003e","duration":3600,"state":"ok"`)
}

func TestAlertsAreBounded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, err := b.pool.Exec(t.Context(), `INSERT INTO performance_alerts (id, metric, operator, threshold, duration_ms, webhook)
		SELECT gen_random_uuid(), 'errors.rate', '>', n, 0, '' FROM generate_series(1, 999) n`)
	require.NoError(t, err)
	b.set(above(0, ""))
	require.ErrorIs(t, b.SetPerformanceAlert(t.Context(), above(time.Second, "")).Err(), result.LimitExceeded)
	b.set(above(0, "")) // it is there
}

func TestAlertJSON(t *testing.T) {
	t.Parallel()
	var c monitoring.AlertConfig
	require.NoError(t, json.Unmarshal([]byte(`{"metric":"errors.rate","threshold":0.5,"operator":">=","duration":1.5,"webhook":"https://x"}`), &c))
	require.Equal(t, monitoring.AlertConfig{Metric: "errors.rate", Threshold: 0.5, Operator: monitoring.AtLeast, Duration: 1500 * time.Millisecond, Webhook: "https://x"}, c)
	for doc, field := range map[string]string{
		`{"threshold":1,"operator":">","duration":1}`:                           "metric",
		`{"metric":"m","operator":">","duration":1}`:                            "threshold",
		`{"metric":"m","threshold":null,"operator":">","duration":1}`:           "threshold",
		`{"metric":"m","threshold":1,"duration":1}`:                             "operator",
		`{"metric":"m","threshold":1,"operator":">"}`:                           "duration",
		`{"metric":"m","threshold":1,"operator":">","duration":1e99}`:           "duration",
		`{"metric":"m","threshold":1,"operator":">","duration":1,"web_hook":1}`: "web_hook",
	} {
		err := json.Unmarshal([]byte(doc), &c)
		require.ErrorIs(t, err, result.InvalidQuery, doc)
		require.Equal(t, field, result.From(err).Field(), doc)
	}
}

func TestOperators(t *testing.T) {
	t.Parallel()
	for i, c := range []struct {
		operator monitoring.Operator
		value    float64
		fires    bool
	}{
		{monitoring.Above, 10, false}, {monitoring.Above, 10.5, true}, {monitoring.AtLeast, 10, true}, {monitoring.AtLeast, 9.5, false},
		{monitoring.Below, 10, false}, {monitoring.Below, 9.5, true},
	} {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.gauge.set(c.value)
			alert := above(0, "")
			alert.Operator = c.operator
			b.set(alert)
			set := b.only().CreatedAt
			b.eventually(func() bool { return b.rounds().After(set.Add(5 * pace)) })
			require.Equal(t, c.fires, b.only().State == monitoring.AlertFiring)
		})
	}
}
