package touches

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/seed14a526e0/relaystore/cache"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

// entryVersion starts each entry of the journal. Who changes what follows it raises it and
// goes on reading the old ones; as processes that do not know it put its entries aside,
// reading it is released before writing it.
const entryVersion = "1"

var (
	errNotAnEntry = errors.New("not an entry of this version")
	errFull       = errors.New("the journal is full")
)

// envelope is an entry as the journal holds it.
type envelope struct {
	Type  strategy.DataType `json:"type"`
	Entry json.RawMessage   `json:"entry"`
}

func decode(text string) (strategy.DataType, []byte, error) {
	data, ok := strings.CutPrefix(text, entryVersion)
	var e envelope
	if !ok || result.DecodeStrict([]byte(data), &e, "type", "entry") != nil {
		return "", nil, errNotAnEntry
	}
	return e.Type, e.Entry, nil
}

// Kind takes the entries of one data type. A nil Kind takes none.
type Kind struct {
	journal  *cache.Journal
	dataType strategy.DataType
	on       atomic.Bool
	store    func(bodies [][]byte, errs []error) (dropped int)
}

// Switch says whether entries are taken from now on; what is in the journal is flushed
// either way.
func (k *Kind) Switch(on bool) {
	if k != nil {
		k.on.Store(on)
	}
}

// On tells whether entries are taken.
func (k *Kind) On() bool { return k != nil && k.on.Load() }

// Add acknowledges entries, all or none. An error means that they are to be written
// through: one that is [Unsure], under the same moments, as the journal may have them. A
// caller who leaves meanwhile says nothing about the journal, which answers in 500 ms.
func (k *Kind) Add(ctx context.Context, entries ...any) error {
	if !k.On() {
		return cache.ErrJournalOff
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	texts := make([][]byte, len(entries))
	for i, e := range entries {
		body, err := json.Marshal(e)
		if err != nil {
			return err
		}
		text, err := json.Marshal(envelope{k.dataType, body})
		if err != nil {
			return err
		}
		texts[i] = append([]byte(entryVersion), text...)
	}
	n, err := k.journal.Append(context.WithoutCancel(ctx), texts)
	if err == nil && n < len(texts) {
		return errFull
	}
	return err
}

// Unsure tells whether the journal may have what Add did not acknowledge.
func Unsure(err error) bool { return errors.Is(err, cache.ErrJournalUnsure) }

// Serve makes store what stores k's entries: in any order, each any number of times. Check
// refuses an entry that nobody of us has written. store tells how many of them it has
// dropped, or why it has stored none.
func Serve[E interface{ Check() error }](k *Kind, store func(ctx context.Context, entries []E) (dropped int, err error)) {
	if k == nil {
		return
	}
	k.store = func(bodies [][]byte, errs []error) (dropped int) {
		entries, at := make([]E, 0, len(bodies)), make([]int, 0, len(bodies))
		for i, body := range bodies {
			var e E
			err := result.DecodeStrict(body, &e)
			if err == nil {
				err = e.Check()
			}
			if err != nil {
				errs[i] = &cache.RefusedError{Reason: err.Error()}
				continue
			}
			entries, at = append(entries, e), append(at, i)
		}
		outcomes := make([]error, len(entries))
		dropped = halving(entries, outcomes, store)
		works := slices.Contains(outcomes, nil)
		for i, err := range outcomes {
			errs[at[i]] = blame(err, works)
		}
		return dropped
	}
}

// halving stores entries, and where they fail perhaps by the fault of some, each half by
// itself, so that one bad entry fails alone.
func halving[E any](entries []E, errs []error, store func(context.Context, []E) (int, error)) (dropped int) {
	if len(entries) == 0 {
		return 0
	}
	n, err := store(context.Background(), entries)
	half := len(entries) / 2
	switch {
	case err == nil:
		return n
	case half == 0 || !atFault(err) && !suspect(err):
		fill(errs, result.From(err))
		return 0
	}
	return halving(entries[:half], errs[:half], store) + halving(entries[half:], errs[half:], store)
}

// blame puts an entry aside that has failed by its own fault. What is suspect may be that
// or a store in disorder: where that works for others, it is the entry.
func blame(err error, works bool) error {
	if err != nil && (atFault(err) || works && suspect(err)) {
		return &cache.RefusedError{Reason: err.Error()}
	}
	return err
}

// atFault tells whether an error is about what was stored, not about the server.
func atFault(err error) bool {
	switch result.From(err).Code {
	case result.InvalidQuery, result.ConstraintViolation, result.DuplicateKey:
		return true
	}
	return false
}

// suspect holds for what a damaged record gives, and for what a server in disorder does.
func suspect(err error) bool {
	switch result.From(err).Code {
	case result.Internal, result.CacheError:
		return true
	}
	return false
}
