package storage_test

import (
	"testing"

	"github.com/seed14a526e0/relaystore/internal/movetest"
	"github.com/seed14a526e0/relaystore/strategy"
)

// What was acknowledged while a primary was moved to and fro is there, once, and nothing
// else, whoever was killed, stopped or wrote between.
func TestMovesUnderLoad(t *testing.T) {
	t.Parallel()
	steps := movetest.Steps
	if testing.Short() {
		steps = []string{strategy.MoveCopying, strategy.MoveFlipping}
	}
	for _, dataType := range strategy.DataTypes {
		t.Run(string(dataType), func(t *testing.T) {
			t.Parallel()
			movetest.Run(t, dataType, steps)
		})
	}
}
