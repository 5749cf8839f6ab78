package bench

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"
)

const (
	// draws is how many keys are drawn before the clock runs: a power of two.
	draws = 1 << 16
	// zipfSkew makes the most asked key of 10,000 about 16% of all.
	zipfSkew = 1.1
	// callers is over how many goroutines a parallel loop goes.
	callers = 2
)

// draw is a Zipf-drawn sequence of texts. Every call with the same number of keys
// gives the same sequence of their numbers.
type draw []string

func newDraw(keys int, text func(int) string) draw {
	texts := make([]string, keys)
	for i := range texts {
		texts[i] = strings.Clone(text(i))
	}
	zipf := rand.NewZipf(rand.New(rand.NewPCG(1, 2)), zipfSkew, 1, uint64(keys-1)) //nolint:gosec // to repeat it
	d := make(draw, draws)
	for i := range d {
		d[i] = texts[zipf.Uint64()]
	}
	return d
}

// loop runs n operations from a place in the sequence and counts the failed.
func (d draw) loop(from, n int, f func(text string) bool) (failed int) {
	for i := from; i < from+n; i++ {
		if !f(d[i&(draws-1)]) {
			failed++
		}
	}
	return failed
}

// alone gives the nanoseconds of an operation.
func (d draw) alone(n int, f func(text string) bool) (float64, error) {
	begin := time.Now()
	failed := d.loop(0, n, f)
	return float64(time.Since(begin)) / float64(n), failures(failed, n)
}

// parallel gives the wall time of an operation when several goroutines share n.
func (d draw) parallel(n int, f func(text string) bool) (float64, error) {
	var group sync.WaitGroup
	var failed [callers]int
	begin := time.Now()
	for i := range callers {
		group.Go(func() { failed[i] = d.loop(i*draws/callers, n/callers, f) })
	}
	group.Wait()
	took := time.Since(begin)
	return float64(took) / float64(n), failures(failed[0]+failed[1], n)
}

func failures(failed, n int) error {
	if failed > 0 {
		return fmt.Errorf("%d of %d operations were not what they should measure", failed, n)
	}
	return nil
}
