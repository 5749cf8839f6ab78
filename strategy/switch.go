package strategy

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// State is how a data type is stored.
type State struct {
	Config

	// Epoch counts the switches of the data type; 0 is before the first.
	Epoch int64
	// Effective is what this process does, which differs where it lacks a Redis or a
	// journal that the config asks for.
	Effective Config
	// Delays is what of the data type this process acknowledges in the journal, before the
	// primary has it: lastUsedAt, status (that of accounts), recordUsage or extendTTL (that
	// of sessions). All else is written through. "" is nothing.
	Delays string
	// Step is what is done of a move of the primary that is under way: pausing, copying or
	// verifying. Writers wait meanwhile. "" is none.
	Step string

	fence int64 // counts the moves
}

// MarshalJSON gives the contract's StorageConfig and, as extensions, epoch,
// effective where it differs or delays something, and step while the primary is moved.
func (s State) MarshalJSON() ([]byte, error) {
	type effective struct {
		configJSON
		Delays string `json:"delays,omitempty"`
	}
	out := struct {
		configJSON
		Epoch     int64      `json:"epoch"`
		Effective *effective `json:"effective,omitempty"`
		Step      string     `json:"step,omitempty"`
	}{configJSON: s.json(), Epoch: s.Epoch, Step: s.Step}
	if s.Effective != s.Config || s.Delays != "" {
		out.Effective = &effective{s.Effective.json(), s.Delays}
	}
	return json.Marshal(out)
}

// SwitchResult is the envelope of a switch.
type SwitchResult struct {
	// Previous is what held before; after a failure, what this process follows, and the
	// zero value where the data type is unknown.
	Previous Config
	// Epoch is the switch's; 0 after a failure.
	Epoch int64

	err *result.Error
}

// Failed makes the envelope of a failure.
func Failed(previous Config, err error) SwitchResult {
	return SwitchResult{Previous: previous, err: result.From(err)}
}

// Err gives nil or an *result.Error.
func (r SwitchResult) Err() error {
	if r.err == nil {
		return nil
	}
	return r.err
}

// MarshalJSON gives {"success":…,"previousStrategy":…}, with epoch, or with error, code
// and details.
func (r SwitchResult) MarshalJSON() ([]byte, error) {
	out := struct {
		Success  bool           `json:"success"`
		Previous *Config        `json:"previousStrategy,omitempty"`
		Epoch    int64          `json:"epoch,omitempty"`
		Error    string         `json:"error,omitempty"`
		Code     result.Code    `json:"code,omitempty"`
		Details  map[string]any `json:"details,omitempty"`
	}{Success: r.err == nil, Epoch: r.Epoch}
	if r.Previous != (Config{}) {
		out.Previous = &r.Previous
	}
	if r.err != nil {
		out.Error, out.Code, out.Details = r.err.Message, r.err.Code, r.err.Details
	}
	return json.Marshal(out)
}

// errMoves means that a config is not stored but by a move.
var errMoves = errors.New("the primary is another one")

// Switch stores how a data type is stored from now on, and follows it; other processes
// do within a second. The same config again is a success that changes nothing. A
// refusal names the member and has written nothing. Another primary is a Move.
func (s *Switches) Switch(ctx context.Context, t DataType, c Config) SwitchResult {
	if err := s.check(t, c); err != nil {
		return s.failed(t, err)
	}
	was, now, err := s.switchConfig(ctx, t, c)
	switch {
	case errors.Is(err, errMoves):
		return s.Move(ctx, t, c, nil)
	case err != nil:
		return s.failed(t, err)
	}
	return SwitchResult{Previous: was.Config, Epoch: now.Epoch}
}

func (s *Switches) check(t DataType, c Config) error {
	if err := CheckDataType(t); err != nil {
		return err
	}
	return s.Machinery.Check(t, c)
}

func (s *Switches) failed(t DataType, err error) SwitchResult {
	return Failed((*s.states.Load())[t].Config, err)
}

func (s *Switches) switchConfig(ctx context.Context, t DataType, c Config) (was, now State, err error) {
	if err = s.turn.take(ctx); err != nil {
		return was, now, err
	}
	defer s.turn.end()
	var before, after map[DataType]State
	err = s.Primary.Write(ctx, func(ctx context.Context, tx db.DBTX) (err error) {
		before, after, err = s.store(ctx, tx, t, c)
		return err
	})
	if err != nil {
		return was, now, err
	}
	s.follow(after)
	return before[t], after[t], nil
}

// store gives the states before and after.
func (s *Switches) store(ctx context.Context, tx db.DBTX, t DataType, c Config) (was, now map[DataType]State, err error) {
	if err := s.queries.StorageStrategyLock(ctx, tx, string(t)); err != nil {
		return nil, nil, err
	}
	was, _, err = s.read(ctx, tx)
	switch {
	case err != nil || was[t].Config == c:
		return was, was, err
	case was[t].PrimaryStorage != c.PrimaryStorage:
		return nil, nil, errMoves
	}
	if err = s.set(ctx, tx, t, c); err != nil {
		return nil, nil, err
	}
	now, _, err = s.read(ctx, tx)
	return was, now, err
}

func (s *Switches) set(ctx context.Context, tx db.DBTX, t DataType, c Config) error {
	_, err := s.queries.StorageStrategySet(ctx, tx, db.StorageStrategySetParams{
		DataType: string(t), PrimaryStorage: string(c.PrimaryStorage), EnableCache: c.EnableCache, CacheTtl: int64(c.CacheTTL / time.Second),
		ReadStrategy: string(c.ReadStrategy), WriteStrategy: string(c.WriteStrategy),
	})
	return err
}
