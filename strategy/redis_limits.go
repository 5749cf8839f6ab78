package strategy

import "github.com/seed14a526e0/relaystore/repo/result"

// NoBatch is why a batch cannot change t now: its primary is Redis. nil is that it can.
func (p *Place) NoBatch(t DataType) error {
	if p.Redis() == nil {
		return nil
	}
	return NoTransaction(t)
}

// NoTransaction is the refusal of a data type on Redis inside a transaction.
func NoTransaction(t DataType) error {
	return result.New(result.InvalidQuery, "the primary of %s is Redis, which takes part in no transaction", t)
}
