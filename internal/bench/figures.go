package bench

import (
	"math"
	"slices"
	"time"
)

// percentile is the smallest value that a share of the values does not exceed. It
// sorts them.
func percentile(values []float64, share float64) float64 {
	slices.Sort(values)
	n := int(math.Ceil(share * float64(len(values))))
	return values[max(n, 1)-1]
}

func median(values []float64) float64 { return percentile(values, 0.5) }

// latencies times n operations one after the other, in nanoseconds.
func latencies(n int, f func(i int) error) ([]float64, error) {
	took := make([]float64, n)
	for i := range took {
		begin := time.Now()
		if err := f(i); err != nil {
			return nil, err
		}
		took[i] = float64(time.Since(begin))
	}
	return took, nil
}

// latency is the median of n operations.
func latency(n int, f func(i int) error) (float64, error) {
	took, err := latencies(n, f)
	if err != nil {
		return 0, err
	}
	return median(took), nil
}

func rounded(x float64, digits int) float64 {
	scale := math.Pow10(digits)
	return math.Round(x*scale) / scale
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
