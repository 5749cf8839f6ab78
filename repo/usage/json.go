package usage

import (
	"encoding/json"

	"github.com/seed14a526e0/relaystore/repo/result"
)

// MarshalJSON prints the time as JavaScript does.
func (r Record) MarshalJSON() ([]byte, error) {
	type plain Record
	return json.Marshal(struct {
		plain
		Timestamp result.Time `json:"timestamp,omitzero"`
	}{plain(r), result.Time(r.Timestamp)})
}

// UnmarshalJSON refuses wrong, unknown and missing members by name.
func (r *Record) UnmarshalJSON(data []byte) error {
	type plain Record
	return result.DecodeStrict(data, (*plain)(r), "apiKeyId", "accountType", "model", "inputTokens", "outputTokens",
		"totalTokens", "cost", "requestCount")
}

// MarshalJSON prints times as JavaScript does.
func (q StatsQuery) MarshalJSON() ([]byte, error) {
	type plain StatsQuery
	return json.Marshal(struct {
		plain
		StartDate result.Time `json:"startDate"`
		EndDate   result.Time `json:"endDate"`
	}{plain(q), result.Time(q.StartDate), result.Time(q.EndDate)})
}

// UnmarshalJSON refuses wrong and unknown members by name.
func (q *StatsQuery) UnmarshalJSON(data []byte) error {
	type plain StatsQuery
	return result.DecodeStrict(data, (*plain)(q))
}

// MarshalJSON prints times as JavaScript does.
func (q CostQuery) MarshalJSON() ([]byte, error) {
	type plain CostQuery
	return json.Marshal(struct {
		plain
		StartDate result.Time `json:"startDate"`
		EndDate   result.Time `json:"endDate"`
	}{plain(q), result.Time(q.StartDate), result.Time(q.EndDate)})
}

// UnmarshalJSON refuses wrong and unknown members by name.
func (q *CostQuery) UnmarshalJSON(data []byte) error {
	type plain CostQuery
	return result.DecodeStrict(data, (*plain)(q))
}
