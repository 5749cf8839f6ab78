package importer

import (
	"context"
	"encoding/json"
	"regexp"
	"strconv"

	"github.com/shopspring/decimal"

	"github.com/seed14a526e0/relaystore/internal/legacy"
	"github.com/seed14a526e0/relaystore/repo/usage"
)

// event is what a billing event says that counters do not: what one request cost.
type event struct {
	Tokens int64
	Cost   string
}

// seenUse is the sum of a model's events in a bucket.
type seenUse struct {
	requests, tokens int64
	cost             decimal.Decimal
}

// readEvents sends the stream of billing events to the keys that they are of. They
// divide what an hour cost among its models, and add nothing.
func (im *run) readEvents(ctx context.Context) error {
	read, odd := 0, 0
	err := im.source.Events(ctx, func(part []string) error {
		for _, doc := range part {
			c, ok := im.event(doc)
			if !ok {
				odd++
				continue
			}
			read++
			if err := im.spill.add(c); err != nil {
				return err
			}
		}
		return ctx.Err()
	})
	if err != nil || read+odd == 0 {
		return err
	}
	why := strconv.Itoa(read) + " events, whose usage the counters have; they divide costs among models"
	if odd > 0 {
		why += "; " + strconv.Itoa(odd) + " more are of no known key, or damaged"
	}
	return im.report.skip(legacy.Events, events, why)
}

func (im *run) event(doc string) (*counted, bool) {
	var e struct {
		Timestamp string `json:"timestamp"`
		APIKey    struct {
			ID string `json:"id"`
		} `json:"apiKey"`
		Usage struct {
			Model       string `json:"model"`
			TotalTokens int64  `json:"totalTokens"`
		} `json:"usage"`
		Cost struct {
			Total json.Number `json:"total"`
		} `json:"cost"`
		Context struct {
			RequestTimestamp string `json:"requestTimestamp"`
		} `json:"context"`
	}
	if json.Unmarshal([]byte(doc), &e) != nil {
		return nil, false
	}
	at, ok := legacy.ParseTime(e.Context.RequestTimestamp)
	if !ok {
		at, ok = legacy.ParseTime(e.Timestamp)
	}
	id, isID := parseID(e.APIKey.ID)
	if _, known := im.keys[id]; !ok || !isID || !known {
		return nil, false
	}
	return &counted{
		Scope: usage.ScopeKey, ID: id, Kind: legacy.Events, Resolution: legacy.Hour, Bucket: legacy.Bucket(legacy.Hour, at, im.zone),
		Model: counterModel(e.Usage.Model), Event: &event{e.Usage.TotalTokens, e.Cost.Total.String()},
	}, true
}

var (
	bedrockModel = regexp.MustCompile(`^(?:[a-z]+\.)?anthropic\.(.+)$`)
	modelVersion = regexp.MustCompile(`(?:-v\d+:\d+|:latest)$`)
)

// counterModel is the name that the service counts a model under.
func counterModel(sent string) string {
	if parts := bedrockModel.FindStringSubmatch(sent); parts != nil {
		sent = parts[1]
	}
	if sent = modelVersion.ReplaceAllString(sent, ""); sent == "" {
		return unknownModel
	}
	return sent
}

func (b *bucket) see(c *counted) {
	if b.seen == nil {
		b.seen = make(map[string]*seenUse)
	}
	s := b.seen[c.Model]
	if s == nil {
		s = &seenUse{}
		b.seen[c.Model] = s
	}
	cost, _ := legacy.ParseAmount(c.Event.Cost)
	s.requests, s.tokens, s.cost = s.requests+1, s.tokens+c.Event.Tokens, s.cost.Add(cost)
}

// complete tells whether the events are exactly what the bucket counts.
func (b *bucket) complete() bool {
	if len(b.seen) == 0 || len(b.seen) != len(b.models) {
		return false
	}
	for model, c := range b.models {
		if s := b.seen[model]; s == nil || s.requests != c.Requests || s.tokens != c.Total {
			return false
		}
	}
	return true
}
