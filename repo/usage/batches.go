package usage

import (
	"math/bits"
	"sync/atomic"
)

// batchSizes counts batches by powers of two: 1 record, 2, up to 4, up to 8 and so on
// up to maxBatch.
const batchSizes = 11

// Batches are the group commits of a process since it was opened: what calls that
// came together shared, a transaction each, or under write_behind a round trip to the
// journal.
type Batches struct {
	// Sizes counts them by size: the element i those of up to 2ⁱ records and more than
	// the element before.
	Sizes [batchSizes]int64
	// Records is how many they hold.
	Records int64
}

type batchMeter struct {
	sizes   [batchSizes]atomic.Int64
	records atomic.Int64
}

func (m *batchMeter) add(n int) {
	m.sizes[bits.Len(uint(n-1))].Add(1) //nolint:gosec // a batch has 1 to maxBatch records
	m.records.Add(int64(n))
}

// Batches tells how calls share commits.
func (r *Repo) Batches() Batches {
	m := &r.writer.batches
	if r.behind != nil {
		m = &r.behind.writer.batches
	}
	b := Batches{Records: m.records.Load()}
	for i := range m.sizes {
		b.Sizes[i] = m.sizes[i].Load()
	}
	return b
}
