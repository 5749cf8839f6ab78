package importer

import (
	"context"

	"github.com/seed14a526e0/relaystore/internal/legacy"
)

// Entry is a key of the legacy Redis with what it holds.
type Entry struct {
	legacy.Name

	Key string
	// Type is Redis' word: hash, string, list, set. Others are not read.
	Type string
	// Fields are a hash's, Text is a string's, Items are a list's or a set's.
	Fields map[string]string
	Text   string
	Items  []string
}

// Source is where a deployment is read from. It is never written to.
type Source interface {
	// Names gives the names of all keys, at most some thousand at a time. Some may come
	// twice.
	Names(ctx context.Context, f func(names []string) error) error
	// Read gives what keys hold, without those that are gone meanwhile.
	Read(ctx context.Context, keys []string) ([]Entry, error)
	// Hashes gives apikey:hash_map, from hash to id, in parts.
	Hashes(ctx context.Context, f func(part map[string]string) error) error
	// Events gives billing:events, in parts.
	Events(ctx context.Context, f func(part []string) error) error
	// Opener opens accounts' secrets with ENCRYPTION_KEY, as far as they are sealed here.
	Opener(c *legacy.Cipher) legacy.Opener
}

// wanted is the type that a kind is kept in.
func wanted(n legacy.Name) string {
	switch n.Kind {
	case legacy.KeyCost, legacy.KeyRealCost, legacy.KeyOpusCost, legacy.User, legacy.Config:
		return "string"
	case legacy.KeyRecords:
		return "list"
	case legacy.GroupMembers, legacy.TagsAll:
		return "set"
	case legacy.Account:
		if n.Platform == legacy.Bedrock {
			return "string"
		}
	}
	return "hash"
}

// carried tells the kinds that are read key by key.
func carried(k legacy.Kind) bool {
	switch k {
	case legacy.Foreign, legacy.Derived, legacy.Passing, legacy.HashMap, legacy.Events:
		return false
	}
	return true
}
