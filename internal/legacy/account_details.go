package legacy

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// limits reads what the service knows of the provider's limit. An object in
// rateLimitStatus is what a later version writes.
func (d *accountDecoder) limits() {
	limited := d.take("rateLimitStatus")
	for _, name := range []string{"rateLimitEndAt", "rateLimitResetAt"} {
		if t := d.when(name); !t.IsZero() && d.a.RateLimitResetAt.IsZero() {
			d.a.RateLimitResetAt = t
		}
	}
	d.a.RateLimited = limited == "limited" || d.a.Status == "rate_limited"
}

// Types of details; those that are not named are text.
var (
	flagDetails = []string{
		"disableAutoProtection", "interceptWarmup", "autoStopOnWarning", "useUnifiedUserAgent", "useUnifiedClientId",
		"disableTempUnavailable", "emailVerified",
	}
	countDetails    = []string{"maxConcurrency", "maxConcurrentTasks", "tempUnavailable503TtlSeconds", "tempUnavailable5xxTtlSeconds"}
	amountDetails   = []string{"dailyQuota"}
	documentDetails = []string{"supportedModels", "subscriptionInfo", "extInfo"}
)

func (d *accountDecoder) details() {
	for _, name := range flagDetails {
		if d.flag(name, false) {
			d.a.Details[name] = true
		}
	}
	d.numbers()
	d.documents()
	if t := d.when("subscriptionExpiresAt"); !t.IsZero() {
		d.a.Details["subscriptionExpiresAt"] = t
	}
	for _, name := range slices.Sorted(maps.Keys(d.fields)) {
		if text := d.take(name); text != "" {
			d.a.Details[name] = text
		}
	}
}

func (d *accountDecoder) numbers() {
	for _, name := range countDetails {
		text := d.take(name)
		if n, ok := parseCount(text); ok {
			d.a.Details[name] = n
		} else if text != "" {
			d.fault(name, "not a count")
		}
	}
	for _, name := range amountDetails {
		text := d.take(name)
		if amount, ok := ParseAmount(text); ok {
			d.a.Details[name] = json.Number(amount.String())
		} else if text != "" {
			d.fault(name, "not an amount")
		}
	}
}

// documents reads JSON. Gemini's models are no JSON but names joined by commas.
func (d *accountDecoder) documents() {
	for _, name := range documentDetails {
		text := d.take(name)
		switch {
		case text == "":
		case json.Valid([]byte(text)) && strings.ContainsAny(text[:1], "[{"):
			d.a.Details[name] = json.RawMessage(text)
		case name == "supportedModels" && d.a.Platform == Gemini:
			d.a.Details[name] = strings.Split(text, ",")
		default:
			d.fault(name, "not a JSON document")
		}
	}
}
