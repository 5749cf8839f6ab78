package strategy

import (
	"context"
	"encoding/json"
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
}

// MarshalJSON gives the contract's StorageConfig and, as extensions, epoch, and
// effective where it differs.
func (s State) MarshalJSON() ([]byte, error) {
	out := struct {
		configJSON
		Epoch     int64   `json:"epoch"`
		Effective *Config `json:"effective,omitempty"`
	}{configJSON: s.json(), Epoch: s.Epoch}
	if s.Effective != s.Config {
		out.Effective = &s.Effective
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

// Switch stores how a data type is stored from now on, and follows it; other processes
// do within a second. The same config again is a success that changes nothing. A
// refusal names the member and has written nothing.
func (s *Switches) Switch(ctx context.Context, t DataType, c Config) SwitchResult {
	if err := CheckDataType(t); err != nil {
		return Failed(Config{}, err)
	}
	if err := s.Machinery.Check(t, c); err != nil {
		return Failed(s.State(t).Config, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var was, now map[DataType]State
	err := s.Primary.Write(ctx, func(ctx context.Context, tx db.DBTX) (err error) {
		was, now, err = s.store(ctx, tx, t, c)
		return err
	})
	if err != nil {
		return Failed(s.State(t).Config, err)
	}
	if c.PrimaryStorage == PrimaryRedis {
		if err := s.Redis.setEpoch(ctx, t, now[t].Epoch); err != nil {
			return Failed(s.State(t).Config, err)
		}
	}
	s.follow(now)
	return SwitchResult{Previous: was[t].Config, Epoch: now[t].Epoch}
}

// store gives the states before and after.
func (s *Switches) store(ctx context.Context, tx db.DBTX, t DataType, c Config) (was, now map[DataType]State, err error) {
	if err := s.queries.StorageStrategyLock(ctx, tx, string(t)); err != nil {
		return nil, nil, err
	}
	if was, err = s.read(ctx, tx); err != nil || was[t].Config == c {
		return was, was, err
	}
	_, err = s.queries.StorageStrategySet(ctx, tx, db.StorageStrategySetParams{
		DataType: string(t), PrimaryStorage: string(c.PrimaryStorage), EnableCache: c.EnableCache, CacheTtl: int64(c.CacheTTL / time.Second),
		ReadStrategy: string(c.ReadStrategy), WriteStrategy: string(c.WriteStrategy),
	})
	if err != nil {
		return nil, nil, err
	}
	now, err = s.read(ctx, tx)
	return was, now, err
}
