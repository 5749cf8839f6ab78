package repo

import (
	"encoding/json"
	"time"

	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

// IsolationLevel says what a transaction may see of others.
type IsolationLevel string

// Isolation levels of TxOptions.
const (
	// ReadCommitted: each call sees what was committed when it began.
	ReadCommitted IsolationLevel = "READ_COMMITTED"
	// Serializable: as if transactions ran one after the other; one that cannot is
	// TransactionConflict and must run again.
	Serializable IsolationLevel = "SERIALIZABLE"
)

// TxOptions are the contract's TransactionOptions.
type TxOptions struct {
	// IsolationLevel is ReadCommitted where it is empty.
	IsolationLevel IsolationLevel
	// ReadOnly makes each write fail with the code ReadOnly.
	ReadOnly bool
	// Timeout is how long the transaction may take as a whole, at most 10 min; 0 is
	// the config's TxTimeout, and inside a transaction that one's. In JSON it is a number of milliseconds.
	Timeout time.Duration
}

type jsonTxOptions struct {
	IsolationLevel IsolationLevel `json:"isolationLevel,omitempty"`
	ReadOnly       bool           `json:"readOnly,omitempty"`
	Timeout        int64          `json:"timeout,omitempty"`
}

// MarshalJSON gives the contract's members, the timeout in milliseconds.
func (o TxOptions) MarshalJSON() ([]byte, error) {
	return json.Marshal(jsonTxOptions{o.IsolationLevel, o.ReadOnly, o.Timeout.Milliseconds()})
}

// UnmarshalJSON refuses wrong and unknown members by name.
func (o *TxOptions) UnmarshalJSON(data []byte) error {
	var j jsonTxOptions
	if err := result.DecodeStrict(data, &j); err != nil {
		return err
	}
	beyond := maxTimeout.Milliseconds() + 1 // is refused later, and does not overflow now
	*o = TxOptions{j.IsolationLevel, j.ReadOnly, time.Duration(max(-1, min(j.Timeout, beyond))) * time.Millisecond}
	return nil
}

var errTxTimeout = result.Invalid("timeout", "must lie between 1 ms and %s, 0 is the default", maxTimeout)

// normalise fills in the defaults and refuses what is wrong.
func (o TxOptions) normalise(timeout time.Duration) (TxOptions, error) {
	switch o.IsolationLevel {
	case "":
		o.IsolationLevel = ReadCommitted
	case ReadCommitted, Serializable:
	default:
		return o, result.Invalid("isolationLevel", "must be %s or %s", ReadCommitted, Serializable)
	}
	if o.Timeout == 0 {
		o.Timeout = timeout
	}
	if o.Timeout < time.Millisecond || o.Timeout > maxTimeout {
		return o, errTxTimeout
	}
	return o, nil
}

// allows refuses options that a savepoint of this transaction cannot have.
func (o TxOptions) allows(inner TxOptions) error {
	normal, err := inner.normalise(o.Timeout)
	switch {
	case err != nil:
		return err
	case inner.IsolationLevel != "" && normal.IsolationLevel != o.IsolationLevel:
		return result.Invalid("isolationLevel", "the transaction has begun as %s", o.IsolationLevel)
	case inner.ReadOnly && !o.ReadOnly:
		return result.Invalid("readOnly", "the transaction has begun as one that writes")
	case inner.Timeout > o.Timeout:
		return result.Invalid("timeout", "the transaction has begun with %s", o.Timeout)
	}
	return nil
}

func (o TxOptions) strategy(ended func()) strategy.TxOptions {
	return strategy.TxOptions{Serializable: o.IsolationLevel == Serializable, ReadOnly: o.ReadOnly, Timeout: o.Timeout, Ended: ended}
}
