package importer

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/seed14a526e0/relaystore/internal/legacy"
	"github.com/seed14a526e0/relaystore/repo/legacyobjects"
	"github.com/seed14a526e0/relaystore/repo/result"
)

const (
	// objectBatch and objectBytes bound what waits to be written.
	objectBatch = 500
	objectBytes = 8 << 20
)

// object keeps an entry as it is.
func (im *run) object(ctx context.Context, e Entry) error {
	var value any
	switch e.Type {
	case "hash":
		fields := make(map[string]any, len(e.Fields))
		for name, text := range e.Fields {
			if !utf8.ValidString(name) {
				name = "base64:" + base64.StdEncoding.EncodeToString([]byte(name))
			}
			fields[name] = plain(text)
		}
		value = fields
	case "string":
		value = plain(e.Text)
	default:
		items := make([]any, len(e.Items))
		if e.Type == "set" {
			slices.Sort(e.Items)
		}
		for i, text := range e.Items {
			items[i] = plain(text)
		}
		value = items
	}
	return im.keep(ctx, e.Kind, objectID(e), map[string]any{"key": plain(e.Key), "type": e.Type, "value": value})
}

// objectID is what an object is found by: its own id where it is the only one that has
// it, else the name of its key, or the digest of a name that no id can be.
func objectID(e Entry) string {
	id := e.Key
	switch e.Kind {
	case legacy.APIKey, legacy.Account, legacy.Group, legacy.GroupMembers, legacy.User, legacy.Card, legacy.Redemption, legacy.KeyRecords:
		id = e.ID
	}
	if len(id) > legacyobjects.MaxID || result.CheckText("id", id, legacyobjects.MaxID) != nil {
		return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(id)))
	}
	return id
}

// plain is a text that JSON can hold; another is told in base64.
func plain(text string) any {
	if utf8.ValidString(text) {
		return text
	}
	return map[string]string{"base64": base64.StdEncoding.EncodeToString([]byte(text))}
}

// keep puts a document among those to be written.
func (im *run) keep(ctx context.Context, kind legacy.Kind, id string, doc any) error {
	data, err := json.Marshal(doc)
	if err != nil { // texts always marshal
		return err
	}
	o := legacyobjects.Object{Kind: string(kind), ID: id, Data: data}
	if err := o.Check(); err != nil {
		return im.report.skip(kind, cut(id, 200), "cannot be kept: "+reason(err))
	}
	if im.objects == nil {
		im.objects = make(map[objectName]legacyobjects.Object)
	}
	im.objects[objectName{kind, id}] = o
	im.objectBytes += len(data)
	if len(im.objects) < objectBatch && im.objectBytes < objectBytes {
		return nil
	}
	return im.flushObjects(ctx)
}

type objectName struct {
	kind legacy.Kind
	id   string
}

func (im *run) flushObjects(ctx context.Context) error {
	batch := make([]legacyobjects.Object, 0, len(im.objects))
	for name, o := range im.objects {
		batch = append(batch, o)
		if ownKind(name.kind) {
			im.report.Imported[name.kind]++
		}
	}
	im.objects, im.objectBytes = nil, 0
	if im.DryRun || len(batch) == 0 {
		return nil
	}
	changed, err := im.client.LegacyObjects.Put(ctx, batch)
	im.report.Written += changed
	return err
}

// ownKind tells the kinds that are carried as objects and as nothing else.
func ownKind(k legacy.Kind) bool {
	switch k {
	case legacy.Group, legacy.GroupMembers, legacy.User, legacy.Card, legacy.Redemption, legacy.Config, legacy.Admin,
		legacy.OldHash, legacy.TagsAll, legacy.KeyRecords, legacy.GlobalUsage, legacy.ModelUsage:
		return true
	}
	return false
}

// refuse names what cannot become a row, and keeps it.
func (im *run) refuse(ctx context.Context, e Entry, why string) error {
	return errors.Join(im.report.skip(e.Kind, e.ID, why+"; kept as it was"), im.object(ctx, e))
}
