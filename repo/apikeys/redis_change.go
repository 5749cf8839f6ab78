package apikeys

import (
	"context"
	"encoding/hex"
	"maps"
	"time"

	"github.com/google/uuid"

	"github.com/seed14a526e0/relaystore/internal/legacy"
	"github.com/seed14a526e0/relaystore/repo/result"
)

func (s *onRedis) get(ctx context.Context, id uuid.UUID) (APIKey, error) {
	fields, err := s.fields(ctx, id)
	if err != nil {
		return APIKey{}, err
	}
	l, _ := legacy.ParseKey(id.String(), fields)
	if len(fields) == 0 || l.IsDeleted {
		return APIKey{}, errUnknown
	}
	return fromLegacy(&l), nil
}

func (s *onRedis) create(ctx context.Context, id uuid.UUID, data *KeyData, native, legacyHash []byte, now time.Time) error {
	l := legacy.Key{
		ID: id.String(), NativeHash: hex.EncodeToString(native), LegacyHash: hex.EncodeToString(legacyHash),
		CreatedAt: now, IsActive: true, ExpirationMode: expirationFixed, WeeklyResetDay: 1,
	}
	data.into(&l)
	if err := l.SetExtra(data.Extra); err != nil {
		return result.Invalid("extra", "not a JSON object")
	}
	outcome, err := s.commit(ctx, id, nil, &legacy.Key{Name: l.Name}, &l)
	if err == nil && outcome != committed {
		err = taken(outcome)
	}
	return err
}

func (s *onRedis) update(ctx context.Context, id uuid.UUID, patch Patch) (APIKey, error) {
	if _, err := patch.alone(); err != nil {
		return APIKey{}, err
	}
	l, err := s.change(ctx, id, func(l *legacy.Key) error {
		k := fromLegacy(l)
		if err := patch.apply(&k); err != nil {
			return err
		}
		k.defaults()
		k.into(l)
		l.IsActive, l.UpdatedAt = k.IsActive, s.tickMillis(l.UpdatedAt)
		if patch.Extra.IsZero() {
			return nil
		}
		return l.SetExtra(k.Extra)
	})
	if err != nil {
		return APIKey{}, err
	}
	return fromLegacy(&l), nil
}

func (s *onRedis) tickMillis(stored time.Time) time.Time {
	now := s.now().UTC().Truncate(time.Millisecond)
	if !now.After(stored) {
		return stored.Add(time.Millisecond)
	}
	return now
}

// deleter is who has deleted a key, where the service tells of a user or an admin.
const deleter = "system"

func (s *onRedis) delete(ctx context.Context, id uuid.UUID, now time.Time) error {
	_, err := s.change(ctx, id, func(l *legacy.Key) error {
		markDeleted(l, now)
		return nil
	})
	return err
}

// markDeleted notes who has deleted a key where it does not say so.
func markDeleted(l *legacy.Key, at time.Time) {
	l.IsDeleted, l.IsActive, l.DeletedAt = true, false, at.UTC().Truncate(time.Millisecond)
	extra := map[string]string{"deletedBy": deleter, "deletedByType": deleter}
	maps.Copy(extra, l.Extra)
	l.Extra = extra
}
