package torture

import "fmt"

// Report is what [Run] did and found.
type Report struct {
	// Seed draws the same faults again, though not at the same moments.
	Seed uint64 `json:"seed"`
	// UsageWrites is the strategy.
	UsageWrites string `json:"usageWrites"`

	Seconds float64 `json:"seconds"`
	// Kills are the SIGKILLs and the kills of servers.
	Kills int `json:"kills"`
	// Faults counts each kind.
	Faults map[string]int `json:"faults"`
	// Gateways is how many processes there were, one after another and at once.
	Gateways int `json:"gateways"`

	// Acknowledged records are those with a success; Stored are all in the ledger.
	Acknowledged int64 `json:"acknowledged"`
	Stored       int64 `json:"stored"`
	// Pending are those of the stored ones that are in no rollup yet.
	Pending int64 `json:"pending"`
	// Lost were acknowledged and are not stored, Duplicated are stored once more.
	Lost       int64 `json:"lost"`
	Duplicated int64 `json:"duplicated"`
	// Mismatch counts what is not as it must be, by Mismatches: cells of rollups,
	// records, answers.
	Mismatch   int64            `json:"mismatch"`
	Mismatches map[string]int64 `json:"mismatches"`
	// Examples are some of the records that are lost, duplicated or not right.
	Examples []string `json:"examples"`

	Duplicates Duplicates `json:"duplicates"`
	// Failures counts the calls that failed, by code.
	Failures map[string]int64 `json:"failures"`
	// Audits compared the rollups with the records while these came in.
	Audits int `json:"audits"`
}

// Duplicates tells where requestIds were found to be recorded before.
type Duplicates struct {
	// Answered are the successes with Duplicate set.
	Answered int64 `json:"answered"`
	// FastPath counts the batches that the plain INSERT refused.
	FastPath int64 `json:"fastPath"`
	// OnConflict counts the records that ON CONFLICT left out.
	OnConflict int64 `json:"onConflict"`
	// Own counts how often a repeated statement found a record of its own; it looks
	// twice.
	Own int64 `json:"own"`
}

// Clean tells that every record counts exactly once.
func (r *Report) Clean() bool { return r.Lost == 0 && r.Duplicated == 0 && r.Mismatch == 0 }

// String is the last line of the command.
func (r *Report) String() string {
	return fmt.Sprintf("torture: kills=%d acknowledged=%d stored=%d lost=%d duplicated=%d mismatch=%d",
		r.Kills, r.Acknowledged, r.Stored, r.Lost, r.Duplicated, r.Mismatch)
}

func (r *Report) accuse(what string, n int64) {
	r.Mismatches[what] += n
	r.Mismatch += n
}

func (r *Report) example(text string) {
	if len(r.Examples) < maxExamples {
		r.Examples = append(r.Examples, text)
	}
}

// judge sums the verdicts.
func (r *Report) judge(m mark, f fate, stored int64, v verdict) {
	if v == (verdict{}) {
		return
	}
	r.Lost += v.lost
	r.Duplicated += v.duplicated
	if v.untrue > 0 {
		r.accuse("answers about records", v.untrue)
	}
	r.example(fmt.Sprintf("record %d of caller %d (requestId %q): %d calls, %d acknowledged, %d of them as no duplicate, %d refused, stored %d times",
		m.Number, m.Stream, m.requestID(), f.begun, f.acknowledged, f.counted, f.refused, stored))
}
