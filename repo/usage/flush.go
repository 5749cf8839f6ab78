package usage

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/seed14a526e0/relaystore/cache"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// entryVersion starts each entry of the journal. Who changes what follows it
// raises it and goes on reading the old ones; as processes that do not know it put
// its entries aside, reading it is released before writing it.
const entryVersion = '1'

// journalEntry is a checked record as the journal holds it: with its id, and its
// requestId as the ledger knows it. Amounts and times are exact.
type journalEntry struct {
	ID            uuid.UUID    `json:"id"`
	RequestHash   uuid.UUID    `json:"request,omitzero"`
	Key           uuid.UUID    `json:"key"`
	Account       uuid.UUID    `json:"account,omitzero"`
	AccountType   string       `json:"type,omitempty"`
	Model         string       `json:"model"`
	Requests      int64        `json:"requests"`
	Input         int64        `json:"input,omitempty"`
	Output        int64        `json:"output,omitempty"`
	CacheCreation int64        `json:"creation,omitempty"`
	CacheRead     int64        `json:"read,omitempty"`
	Total         int64        `json:"total,omitempty"`
	Cost          result.Money `json:"cost"`
	At            time.Time    `json:"at"`
}

func (e entry) encode() []byte {
	data, err := json.Marshal(journalEntry{
		ID: e.id, RequestHash: e.requestHash, Key: e.key, Account: e.account, AccountType: e.AccountType, Model: e.Model,
		Requests: e.RequestCount, Input: e.InputTokens, Output: e.OutputTokens, CacheCreation: e.CacheCreationTokens,
		CacheRead: e.CacheReadTokens, Total: e.TotalTokens, Cost: e.Cost, At: e.Timestamp,
	})
	if err != nil {
		panic(err) // no checked record has what JSON does not
	}
	return append([]byte{entryVersion}, data...)
}

var errNotARecord = errors.New("not a record of this version")

// decodeEntry checks what it reads: anybody can write into a stream. The time's
// upper bound is left to the database, since clocks differ.
func decodeEntry(text string) (entry, error) {
	data, ok := strings.CutPrefix(text, string(entryVersion))
	if !ok {
		return entry{}, errNotARecord
	}
	dec := json.NewDecoder(bytes.NewReader([]byte(data)))
	dec.DisallowUnknownFields()
	var j journalEntry
	if err := dec.Decode(&j); err != nil || dec.More() || j.ID == uuid.Nil || j.Key == uuid.Nil {
		return entry{}, errNotARecord
	}
	e := entry{id: j.ID, requestHash: j.RequestHash, key: j.Key, account: j.Account, Record: Record{
		AccountType: j.AccountType, Model: j.Model, RequestCount: j.Requests, InputTokens: j.Input, OutputTokens: j.Output,
		CacheCreationTokens: j.CacheCreation, CacheReadTokens: j.CacheRead, TotalTokens: j.Total, Cost: j.Cost,
		Timestamp: j.At.UTC().Truncate(time.Microsecond),
	}}
	if e.Timestamp.Before(firstTime) {
		return entry{}, errNotARecord
	}
	return e, errors.Join(e.checkTexts(), e.checkCounts())
}

// flush commits entries of the journal under the ids that they have had since
// their callers were acknowledged: those that are stored already count once.
func (r *Repo) flush(entries []string) []error {
	outcomes := make([]error, len(entries))
	batch := make([]*waiting, 0, len(entries))
	at := make([]int, 0, len(entries))
	left := newCountdown(len(entries)) // nobody waits for it
	for i, text := range entries {
		e, err := decodeEntry(text)
		if err != nil {
			outcomes[i] = &cache.RefusedError{Reason: err.Error()}
			continue
		}
		batch, at = append(batch, &waiting{entry: e, left: left}), append(at, i)
	}
	if len(batch) > 0 {
		r.flushBatch(batch)
	}
	works := false
	for _, w := range batch {
		works = works || w.outcome.err == nil
	}
	for i, w := range batch {
		outcomes[at[i]] = w.outcome.flushed(works)
	}
	return outcomes
}

// flushBatch leaves in the journal what a transaction blocks.
func (r *Repo) flushBatch(batch []*waiting) {
	blocked := r.commit(context.Background(), batch, blockedAfter)
	if len(blocked) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), r.Primary.OpTimeout)
	defer cancel()
	for _, w := range r.sift(ctx, blocked) {
		w.finish(outcome{err: errBlocked})
	}
}

// flushed tells the journal what became of an entry. Internal may be the entry's
// own fault or a database in disorder: where the ledger works for others, it is
// the entry's.
func (o outcome) flushed(ledgerWorks bool) error {
	e := result.From(o.err)
	switch {
	case o.unknown:
		return &cache.RefusedError{Reason: "no such key"}
	case e == nil:
		return nil
	case e.Code == result.Internal && !ledgerWorks, !atFault(e):
		return e
	}
	return &cache.RefusedError{Reason: e.Error()}
}
