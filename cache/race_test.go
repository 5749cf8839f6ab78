//go:build race

package cache

// strangers are fewer under the race detector, which makes each cost ten times as much.
const strangers = 50_000
