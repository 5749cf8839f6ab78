//go:build !race

package cache

// strangers are how many keys that nobody has the flood asks for, remembered how many
// of them the primary answers for.
const (
	strangers  = 1_000_000
	remembered = 6 * unknownKeys
)
