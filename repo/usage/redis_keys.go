package usage

import (
	"regexp"
	"strings"
	"time"

	"github.com/seed14a526e0/relaystore/internal/legacy"
)

// How long the layout keeps what (LEGACY.md 1.2 and 1.3); totals have no end.
const (
	hoursKept  = 7 * day
	daysKept   = 32 * day
	monthsKept = 365 * day
	// dayCostsKept and monthCostsKept are those of costs, which then only the
	// micro-dollars by model tell.
	dayCostsKept   = 30 * day
	monthCostsKept = 90 * day
	weekCostsKept  = 14 * day
)

var kept = map[legacy.Resolution]time.Duration{legacy.Hour: hoursKept, legacy.Day: daysKept, legacy.Month: monthsKept}

var costsKept = map[legacy.Resolution]time.Duration{legacy.Hour: hoursKept, legacy.Day: dayCostsKept, legacy.Month: monthCostsKept}

// tierWords are the service's words in the names of index sets.
var tierWords = map[legacy.Resolution]string{legacy.Hour: "hourly", legacy.Day: "daily", legacy.Month: "monthly", legacy.Total: "total"}

// indexKey names the set of what has counters in a bucket: family is usage:,
// usage:model:, usage:keymodel:, account_usage: or account_usage:model:.
func indexKey(family string, res legacy.Resolution, bucket string) string {
	return family + tierWords[res] + ":index:" + bucket
}

const (
	monthsKey = "usage:model:monthly:months"
	// eventsKey is the stream from which others bill; the service keeps its last
	// 100,000 entries.
	eventsKey = "billing:events"
	// noAccount stands for the account of records that have none.
	noAccount = "none"
	// requestPrefix starts the keys of requestIds.
	requestPrefix = "relaystore:request:"
	// accountCostPrefix starts those of [accountCostKey].
	accountCostPrefix = "relaystore:usage:account:"
)

// accountCostKey names what relaystore keeps beside the layout, which has no costs by
// account: a hash of cost:MODEL and requests:MODEL. The requests tell whether the costs
// are complete: the service's own records are not in it.
func accountCostKey(account string, res legacy.Resolution, bucket string) string {
	return strings.TrimSuffix(accountCostPrefix+tierWords[res]+":"+account+":"+bucket, ":")
}

func requestKey(e *entry) string {
	if e.RequestID == "" {
		return "relaystore:record:" + e.id.String()
	}
	return requestPrefix + e.requestHash.String()
}

var (
	region  = regexp.MustCompile(`^[a-z0-9-]+\.`)
	version = regexp.MustCompile(`-v[0-9]+:[0-9]+$`)
)

// countedModel is the name by which the service counts a model: Bedrock's without the
// region and the vendor, and all without the version's suffix.
func countedModel(model string) string {
	name := version.ReplaceAllString(model, "")
	if strings.Contains(model, ".anthropic.") || strings.Contains(model, ".claude") {
		name = strings.Replace(region.ReplaceAllString(name, ""), "anthropic.", "", 1)
	} else if name == model {
		name = strings.TrimSuffix(name, ":latest")
	}
	if name == "" {
		return "unknown"
	}
	return name
}
