package usage

import (
	"encoding/json"
	"time"

	"github.com/seed14a526e0/relaystore/repo/result"
)

// maxCellsReported bounds the cells that a report names.
const maxCellsReported = 100

// VerifyReport is what Verify found.
type VerifyReport struct {
	// From and To bound the time that was compared, in whole UTC days; zero where
	// nothing is kept.
	From time.Time `json:"from,omitzero"`
	To   time.Time `json:"to,omitzero"`
	// Chunks is how many comparisons there were.
	Chunks int `json:"chunks"`
	// Wrong counts the cells that differed, Repaired those of them that no longer do.
	Wrong    int64 `json:"wrong"`
	Repaired int64 `json:"repaired"`
	// Cells names the first 100 of them, More is how many others there were.
	Cells []WrongCell `json:"cells"`
	More  int64       `json:"more,omitempty"`
	// Unchecked says what could not be compared, and why.
	Unchecked string `json:"unchecked,omitempty"`
}

// WrongCell is a row of a tier, by the columns that the tier has.
type WrongCell struct {
	// Tier is its table.
	Tier string `json:"tier"`
	// Fault is missing, extra (it sums up nothing) or figures.
	Fault string `json:"fault"`
	// APIKeyID and AccountID are as they are stored: no account is the nil UUID.
	APIKeyID  string    `json:"apiKeyId,omitempty"`
	AccountID string    `json:"accountId,omitempty"`
	Model     string    `json:"model,omitempty"`
	Bucket    time.Time `json:"bucket,omitzero"`
}

// MarshalJSON prints times as JavaScript does.
func (r VerifyReport) MarshalJSON() ([]byte, error) {
	type plain VerifyReport
	return json.Marshal(struct {
		From result.Time `json:"from,omitzero"`
		To   result.Time `json:"to,omitzero"`
		plain
	}{result.Time(r.From), result.Time(r.To), plain(r)})
}

// MarshalJSON prints the time as JavaScript does.
func (c WrongCell) MarshalJSON() ([]byte, error) {
	type plain WrongCell
	return json.Marshal(struct {
		plain
		Bucket result.Time `json:"bucket,omitzero"`
	}{plain(c), result.Time(c.Bucket)})
}

// note adds a comparison's wrong cells to the report.
func (v *verification) note(name func(wrongRow) WrongCell, rows []wrongRow) {
	r := &v.report
	r.Chunks++
	if len(rows) == 0 {
		return
	}
	r.Wrong += rows[0].Wrong
	if v.Repair {
		r.Repaired += rows[0].Wrong
	}
	for _, row := range rows[:min(len(rows), maxCellsReported-len(r.Cells))] {
		r.Cells = append(r.Cells, name(row))
	}
	r.More = r.Wrong - int64(len(r.Cells))
}
