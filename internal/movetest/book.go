package movetest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
)

// gone is the state of a record that is not there.
const gone = "gone"

// What a writer says of a step, with the record and its state after it.
const (
	tries   = "try"
	acked   = "ack"
	refused = "not"  // nothing was written
	lost    = "lost" // nobody knows
)

// entry is what is known of a record.
type entry struct {
	state  string // acknowledged last
	open   string // tried, and the answer was lost; "" is none
	handle string // what else leads to the record, "" is nothing
}

// book is what writers have said of the records of one data type.
type book struct {
	mu      sync.Mutex
	records map[string]*entry
	acks    int
	failed  []string
}

func newBook() *book { return &book{records: make(map[string]*entry)} }

// note takes one line of a writer.
func (b *book) note(words []string) {
	what, record, state, more := words[0], words[1], words[2], strings.Join(words[3:], " ")
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.records[record]
	if e == nil {
		e = &entry{state: gone}
		b.records[record] = e
	}
	switch e.open = ""; what {
	case tries:
		e.open = state
	case acked:
		b.acks++
		e.state = state
		if more != "" {
			e.handle = more
		}
	case lost:
		e.open = state
		fallthrough
	default:
		b.failed = append(b.failed, strings.Join(words, " "))
	}
}

func (b *book) handles() map[string]string {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := make(map[string]string)
	for record, e := range b.records {
		if e.handle != "" {
			all[record] = e.handle
		}
	}
	return all
}

// compare gives each record that is not in a state that it may have.
func (b *book) compare(found map[string]string) (wrong []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for record, e := range b.records {
		state, is := found[record]
		if !is {
			state = gone
		}
		if state != e.state && state != e.open {
			wrong = append(wrong, fmt.Sprintf("%s is %s, acknowledged was %s, tried %q", record, state, e.state, e.open))
		}
	}
	for record := range found {
		if b.records[record] == nil {
			wrong = append(wrong, record+" was never written")
		}
	}
	slices.Sort(wrong)
	return wrong
}
