// Package legacyobjects keeps what another service had and no table here holds, as it
// was: groups, users, cards, settings. Each object is sealed, since some hold secrets.
//
// An import writes them, and a way back reads them; nothing else does.
package legacyobjects

import (
	"bytes"
	"context"

	"github.com/google/uuid"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/internal/seal"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

const (
	// MaxPut bounds the objects of one call.
	MaxPut = 1000
	// MaxData bounds an object's bytes.
	MaxData = 64 << 20

	// MaxID bounds an ID's bytes.
	MaxID = 1024

	maxKind = 64
	maxList = 1000
	// maxListBytes is after how many bytes, sealed, no more objects are read at a time.
	maxListBytes = MaxData
)

// Kinds of what an import keeps of usage counters besides their figures. A document an
// API key or account: by the name of the counter's key, its other fields.
const (
	KeyRests     = "usage_rest"
	AccountRests = "account_usage_rest"
)

// Object is what was kept under one name.
type Object struct {
	// Kind has at most 64 bytes, ID at most 1,024.
	Kind, ID string
	// Data is open.
	Data []byte
}

// Config is what a Repo stands on.
type Config struct {
	Primary *strategy.Postgres
	// Sealer may be nil: objects are refused then.
	Sealer *seal.Sealer
}

// Repo keeps objects. It is safe for concurrent use.
type Repo struct {
	Config

	queries *db.Queries
}

// New makes a Repo.
func New(cfg Config) *Repo { return &Repo{cfg, db.New()} }

// InTx gives the same objects inside a transaction, which p is of.
func (r *Repo) InTx(p *strategy.Postgres) *Repo {
	in := *r
	in.Primary = p
	return &in
}

var errNoKeyset = result.Invalid("RELAYSTORE_KEYSET", "required by objects of another service; relaystore keyset create makes one")

// Put stores objects, over those of the same kind and id, and tells how many have
// changed. At most MaxPut, each once. Wrong input is InvalidQuery and writes nothing.
func (r *Repo) Put(ctx context.Context, objects []Object) (changed int64, err error) {
	if r.Sealer == nil {
		return 0, errNoKeyset
	}
	if err := check(objects); err != nil {
		return 0, err
	}
	err = r.Primary.Write(ctx, func(ctx context.Context, tx db.DBTX) error {
		stored, err := r.stored(ctx, tx, objects)
		if err != nil {
			return err
		}
		var p db.LegacyObjectsPutParams
		for _, o := range objects {
			if before, ok := stored[name{o.Kind, o.ID}]; ok && bytes.Equal(before, o.Data) {
				continue
			}
			sealed, err := r.Sealer.Seal(place(o.Kind, o.ID), column, string(o.Data))
			if err != nil {
				return result.New(result.Internal, "an object cannot be sealed")
			}
			p.Kinds, p.Ids, p.Data = append(p.Kinds, o.Kind), append(p.Ids, o.ID), append(p.Data, sealed)
		}
		if changed = int64(len(p.Kinds)); changed == 0 {
			return nil
		}
		return r.queries.LegacyObjectsPut(ctx, tx, p)
	})
	return changed, err
}

type name struct{ kind, id string }

func check(objects []Object) error {
	if len(objects) > MaxPut {
		return result.Invalid("objects", "more than %d", MaxPut)
	}
	seen := make(map[name]bool, len(objects))
	for _, o := range objects {
		if err := o.Check(); err != nil {
			return err
		}
		if seen[name{o.Kind, o.ID}] {
			return result.Invalid("id", "given twice")
		}
		seen[name{o.Kind, o.ID}] = true
	}
	return nil
}

// Check tells why Put would refuse the object.
func (o Object) Check() error {
	switch {
	case o.Kind == "" || len(o.Kind) > maxKind:
		return result.Invalid("kind", "must have 1 to %d bytes", maxKind)
	case o.ID == "" || len(o.ID) > MaxID:
		return result.Invalid("id", "must have 1 to %d bytes", MaxID)
	case len(o.Data) == 0 || len(o.Data) > MaxData:
		return result.Invalid("data", "must have 1 to %d bytes", MaxData)
	}
	if err := result.CheckText("kind", o.Kind, maxKind); err != nil {
		return err
	}
	return result.CheckText("id", o.ID, MaxID)
}

// stored gives those of the objects that there are, open. One that does not open is
// left out, to be written anew.
func (r *Repo) stored(ctx context.Context, tx db.DBTX, objects []Object) (map[name][]byte, error) {
	ids := make(map[string][]string)
	for _, o := range objects {
		ids[o.Kind] = append(ids[o.Kind], o.ID)
	}
	found := make(map[name][]byte, len(objects))
	for kind, list := range ids {
		rows, err := r.queries.LegacyObjectsGet(ctx, tx, db.LegacyObjectsGetParams{Kind: kind, Ids: list})
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			if data, err := r.Sealer.Open(place(kind, row.ID), column, row.Data); err == nil {
				found[name{kind, row.ID}] = []byte(data)
			}
		}
	}
	return found, nil
}

// Get gives those of at most MaxPut objects of a kind that there are and that open, in the
// order of their ids.
func (r *Repo) Get(ctx context.Context, kind string, ids []string) (objects []Object, err error) {
	switch {
	case len(ids) > MaxPut:
		return nil, result.Invalid("ids", "more than %d", MaxPut)
	case r.Sealer == nil:
		return nil, errNoKeyset
	}
	var rows []db.LegacyObjectsGetRow
	err = r.Primary.Read(ctx, func(ctx context.Context, c db.DBTX) (err error) {
		rows, err = r.queries.LegacyObjectsGet(ctx, c, db.LegacyObjectsGetParams{Kind: kind, Ids: ids})
		return err
	})
	for _, row := range rows {
		if data, err := r.Sealer.Open(place(kind, row.ID), column, row.Data); err == nil {
			objects = append(objects, Object{kind, row.ID, []byte(data)})
		}
	}
	return objects, err
}

// List gives the objects of a kind after an id, in the order of their ids; at most
// limit, which is 1 to 1,000, and fewer where they have more than 64 MiB: the list has
// ended where none come.
func (r *Repo) List(ctx context.Context, kind, after string, limit int) ([]Object, error) {
	if limit < 1 || limit > maxList {
		return nil, result.Invalid("limit", "must lie between 1 and %d", maxList)
	}
	if r.Sealer == nil {
		return nil, errNoKeyset
	}
	var rows []db.LegacyObjectsListRow
	err := r.Primary.Read(ctx, func(ctx context.Context, c db.DBTX) (err error) {
		rows, err = r.queries.LegacyObjectsList(ctx, c, db.LegacyObjectsListParams{Kind: kind, After: after, RowLimit: int32(limit), MaxBytes: maxListBytes}) //nolint:gosec // bounded above
		return err
	})
	if err != nil {
		return nil, err
	}
	objects := make([]Object, len(rows))
	for i, row := range rows {
		data, err := r.Sealer.Open(place(kind, row.ID), column, row.Data)
		if err != nil {
			return nil, result.New(result.Internal, "an object does not open").With("kind", kind).With("id", row.ID)
		}
		objects[i] = Object{kind, row.ID, []byte(data)}
	}
	return objects, nil
}

const column = "data"

// place binds a sealed object to its kind and id, as a row's id does elsewhere.
func place(kind, id string) uuid.UUID {
	return uuid.NewSHA1(uuid.NameSpaceOID, []byte(kind+"\x00"+id))
}
