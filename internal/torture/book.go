package torture

import "sync"

// fate is what the driver knows of a record.
type fate struct {
	// begun counts the calls for it, acknowledged those that were a success, counted
	// those of them that were no duplicate, and refused those that certainly wrote
	// nothing. The rest has an unknown outcome.
	begun, acknowledged, counted, refused uint8
}

// book has the fates of all records.
type book struct {
	// behind tells that the library does not know a duplicate when it acknowledges,
	// and has what it acknowledged in the ledger only later.
	behind bool

	mu      sync.Mutex
	streams [][]fate // by stream and number, less one each

	acknowledged, duplicates, wrong int64
	failures                        map[string]int64 // by code
}

func newBook(behind bool) *book { return &book{behind: behind, failures: make(map[string]int64)} }

// open gives n new streams, by the first one.
func (b *book) open(n int) int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	first := len(b.streams) + 1
	b.streams = append(b.streams, make([][]fate, n)...)
	return int64(first)
}

// find gives nil for what nobody has sent. The caller holds mu.
func (b *book) find(m mark) *fate {
	if m.Stream < 1 || m.Stream > int64(len(b.streams)) || m.Number < 1 || m.Number > int64(len(b.streams[m.Stream-1])) {
		return nil
	}
	return &b.streams[m.Stream-1][m.Number-1]
}

// begin notes a call, which will come next or may have come.
func (b *book) begin(m mark) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.find(m) == nil {
		b.streams[m.Stream-1] = append(b.streams[m.Stream-1], fate{})
	}
	b.find(m).begun++
}

// answer notes what the library said.
func (b *book) answer(r report) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f := b.find(r.mark)
	switch r.Event {
	case counted, duplicate:
		if f.acknowledged++; f.acknowledged == 1 {
			b.acknowledged++
		}
		if r.Event == counted {
			f.counted++
		} else {
			b.duplicates++
		}
	case failed:
		b.failures[r.Code]++
		if !r.Unknown {
			f.refused++
		}
	case wrong:
		b.wrong++
	}
}

func (b *book) count() (acknowledged, duplicates int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.acknowledged, b.duplicates
}

// verdict is what the audit has to say of a record that is stored n times.
type verdict struct {
	lost, duplicated, untrue int64
}

// judge compares a fate with how often the record is stored.
func (b *book) judge(f fate, n int64) (v verdict) {
	if f.acknowledged > 0 && n == 0 {
		v.lost = 1
	}
	v.duplicated = max(0, n-1)
	unanswered := f.begun - f.acknowledged - f.refused
	switch {
	case f.counted > 1 && !b.behind,
		f.acknowledged > 0 && f.counted == 0 && unanswered == 0, // a duplicate of nothing
		n > 0 && f.begun == f.refused:
		v.untrue = 1
	}
	return v
}
