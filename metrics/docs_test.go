package metrics_test

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// expressions are those of the dashboard and of the alerts.
func expressions(t *testing.T) (all []string) {
	t.Helper()
	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	content, err := os.ReadFile("../docs/grafana.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(content, &board))
	for _, p := range board.Panels {
		require.NotEmpty(t, p.Targets, p.Title)
		for _, target := range p.Targets {
			all = append(all, target.Expr)
		}
	}
	var rules struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	content, err = os.ReadFile("../docs/alerts.yaml")
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(content, &rules))
	require.NotEmpty(t, rules.Groups)
	for _, r := range rules.Groups[0].Rules {
		require.NotEmpty(t, r.Alert)
		require.NotEmpty(t, r.Labels["severity"], r.Alert)
		require.NotEmpty(t, r.Annotations["summary"], r.Alert)
		all = append(all, r.Expr)
	}
	return all
}

var (
	spans     = regexp.MustCompile(`\[(?:\$__rate_interval|\d+[smhd])\]`)
	selectors = regexp.MustCompile(`([a-z_]+)\{([a-z_]+)="([a-z_]+)"\}`)
	groupings = regexp.MustCompile(`by \(([a-z_, ]+)\)`)
	words     = regexp.MustCompile(`[A-Za-z_][A-Za-z0-9_:]*`)
	rest      = regexp.MustCompile(`^[-+*/<>=().,0-9 ]*$`)
	functions = []string{"sum", "max", "rate", "increase", "topk", "histogram_quantile"}
	scraped   = []string{"instance", "job"} // labels that Prometheus adds
)

// unknown gives what an expression uses and the exposition does not have. It knows
// just as much of PromQL as the expressions need; all else is unknown, too.
func unknown(expr string, series map[string]map[string][]string) (found []string) {
	labels := slices.Clone(scraped)
	expr = spans.ReplaceAllString(expr, "")
	for _, s := range selectors.FindAllStringSubmatch(expr, -1) {
		if !slices.Contains(series[s[1]][s[2]], s[3]) {
			found = append(found, s[0])
		}
	}
	expr = selectors.ReplaceAllString(expr, "$1")
	by := groupings.FindAllStringSubmatch(expr, -1)
	expr = groupings.ReplaceAllString(expr, "")
	for _, w := range words.FindAllString(expr, -1) {
		if known, is := series[w]; is {
			for label := range known {
				labels = append(labels, label)
			}
		} else if !slices.Contains(functions, w) {
			found = append(found, w)
		}
	}
	for _, g := range by {
		for _, label := range strings.Split(g[1], ", ") {
			if !slices.Contains(labels, label) {
				found = append(found, label)
			}
		}
	}
	if left := words.ReplaceAllString(expr, ""); !rest.MatchString(left) || strings.Count(left, "(") != strings.Count(left, ")") {
		found = append(found, left)
	}
	return found
}

// exposed gives the series' names with their labels and values.
func exposed(families map[string]*dto.MetricFamily) map[string]map[string][]string {
	all := make(map[string]map[string][]string)
	for name, f := range families {
		labels := map[string][]string{}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = append(labels[l.GetName()], l.GetValue())
			}
		}
		if f.GetType() != dto.MetricType_HISTOGRAM {
			all[name] = labels
			continue
		}
		all[name+"_bucket"], all[name+"_sum"], all[name+"_count"] = map[string][]string{"le": nil}, labels, labels
	}
	return all
}

func TestDashboardAndAlertsUseWhatThereIs(t *testing.T) {
	b := setup(t)
	series := exposed(b.gather())
	all := expressions(t)
	for _, expr := range all {
		require.Empty(t, unknown(expr, series), expr)
	}
	used := strings.Join(all, "\n")
	for name := range series {
		if !strings.HasSuffix(name, "_bucket") && !strings.HasSuffix(name, "_sum") && !strings.HasSuffix(name, "_count") {
			require.Contains(t, used, name, "no panel and no alert shows it")
		}
	}
	for _, wrong := range []string{
		"sum(rate(relaystore_query_call_total[5m]))", "sum by (name) (relaystore_query_calls_total)", "relaystore_pool_connections{state=\"busy\"}",
		"relaystore_pool_connections{status=\"idle\"}", "summ(relaystore_cache_fresh)", "sum(relaystore_cache_fresh", "relaystore_cache_fresh ~ 1",
	} {
		require.NotEmpty(t, unknown(wrong, series), wrong)
	}
}
