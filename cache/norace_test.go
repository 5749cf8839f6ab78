//go:build !race

package cache

// strangers are how many keys that nobody has the flood asks for.
const strangers = 1_000_000
