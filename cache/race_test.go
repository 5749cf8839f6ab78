//go:build race

package cache

// Strangers are fewer under the race detector, which makes each cost ten times as much:
// the other tests' deadlines need the processor, too.
const (
	strangers  = 10_000
	remembered = 2 * unknownKeys
)
