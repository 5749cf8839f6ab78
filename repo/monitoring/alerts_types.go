package monitoring

import (
	"encoding/json"
	"math"
	"time"

	"github.com/seed14a526e0/relaystore/repo/result"
)

// Operator compares a metric with a threshold.
type Operator string

// The contract's operators.
const (
	Above   Operator = ">"
	Below   Operator = "<"
	AtLeast Operator = ">="
)

func (o Operator) holds(value, threshold float64) bool {
	switch o {
	case Above:
		return value > threshold
	case Below:
		return value < threshold
	default:
		return value >= threshold
	}
}

// AlertConfig is the contract's alertConfig. All but Webhook are required in JSON.
type AlertConfig struct {
	// Metric is one of AlertMetrics.
	Metric string
	// Threshold is in the metric's own unit, as JSON has it: ms, bytes, 0..1, a number.
	Threshold float64
	Operator  Operator
	// Duration is how long the comparison must hold, up to 7 days; 0 is not at all. In
	// JSON it is in seconds.
	Duration time.Duration
	// Webhook is an http or https URL of at most 2,048 bytes that hears of changes, or "":
	// the state is then only listed.
	Webhook string
}

// AlertState is where an alert stands.
type AlertState string

// States of an alert.
const (
	// AlertOK: the comparison does not hold.
	AlertOK AlertState = "ok"
	// AlertPending: it holds, but not for the duration yet.
	AlertPending AlertState = "pending"
	// AlertFiring: it has held for the duration, and holds.
	AlertFiring AlertState = "firing"
)

// Alert is a stored one.
type Alert struct {
	// ID is a UUID, for RemovePerformanceAlert.
	ID string
	AlertConfig
	State     AlertState
	Since     time.Time
	CreatedAt time.Time
	// Waiting are state changes that have not reached the webhook, Failed those of the last
	// day that were given up.
	Waiting, Failed int64
}

// AlertList is what ListPerformanceAlerts gives.
type AlertList struct {
	Alerts []Alert `json:"alerts"`
}

// AlertEvent is a state change as a webhook hears of it.
type AlertEvent struct {
	AlertID string
	AlertConfig
	// State is firing, or ok when the comparison no longer holds.
	State AlertState
	// Value is the metric's when the state changed, At is when.
	Value float64
	At    time.Time
}

// alertJSON is AlertConfig as JSON has it.
type alertJSON struct {
	Metric    string   `json:"metric"`
	Threshold float64  `json:"threshold"`
	Operator  Operator `json:"operator"`
	Duration  float64  `json:"duration"`
	Webhook   string   `json:"webhook,omitempty"`
}

func (c AlertConfig) json() alertJSON {
	return alertJSON{c.Metric, c.Threshold, c.Operator, c.Duration.Seconds(), c.Webhook}
}

// MarshalJSON gives the contract's names and units.
func (c AlertConfig) MarshalJSON() ([]byte, error) { return json.Marshal(c.json()) }

// UnmarshalJSON refuses wrong, unknown and missing members by name.
func (c *AlertConfig) UnmarshalJSON(data []byte) error {
	var in alertJSON
	if err := result.DecodeStrict(data, &in, "metric", "threshold", "operator", "duration"); err != nil {
		return err
	}
	if math.Abs(in.Duration) > math.MaxInt32 {
		return result.Invalid("duration", "not a number of seconds that can be counted with")
	}
	*c = AlertConfig{in.Metric, in.Threshold, in.Operator, time.Duration(math.Round(in.Duration * float64(time.Second))), in.Webhook}
	return nil
}

// MarshalJSON prints times as JavaScript does.
func (a Alert) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		ID string `json:"id"`
		alertJSON
		State     AlertState  `json:"state"`
		Since     result.Time `json:"since"`
		CreatedAt result.Time `json:"createdAt"`
		Waiting   int64       `json:"waitingDeliveries"`
		Failed    int64       `json:"failedDeliveries"`
	}{a.ID, a.json(), a.State, result.Time(a.Since), result.Time(a.CreatedAt), a.Waiting, a.Failed})
}

// MarshalJSON gives what a webhook gets: no URL.
func (e AlertEvent) MarshalJSON() ([]byte, error) {
	e.Webhook = ""
	return json.Marshal(struct {
		AlertID string `json:"alertId"`
		alertJSON
		State AlertState  `json:"state"`
		Value float64     `json:"value"`
		At    result.Time `json:"at"`
	}{e.AlertID, e.json(), e.State, e.Value, result.Time(e.At)})
}
